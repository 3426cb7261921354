"""One session: its table of states against a naive model, and its context in memory through pauses."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore
from rolecore.sessions.session import MISSED_BEATS, TRANSITIONS, Event, RoleSession, SessionState
from rolecore.testing import ODD_TEXTS, message


def naive(state: SessionState, event: Event) -> SessionState | None:
    """What each event leads to, written another way than the table: by rules, not by pairs."""
    if state == "expired":
        return None if event in {"message", "heartbeat"} else SessionState.EXPIRED
    if event == "lapse":
        return SessionState.EXPIRED
    if event == "message":
        return SessionState.ACTIVE
    if event == "idle" and state == "active":
        return SessionState.PAUSED
    return state


def fire(session: RoleSession, event: Event) -> None:
    if event is Event.MESSAGE:
        session.touch(1.0, 2.0)
    elif event is Event.IDLE:
        session.pause()
    elif event is Event.HEARTBEAT:
        session.heartbeat()
    else:
        session.expire()


def test_table_decides_every_pair_as_the_model_does() -> None:
    expected = {(state, event): naive(state, event) for state, event in product(SessionState, Event)}
    assert expected == TRANSITIONS


@given(events=st.lists(st.sampled_from(Event), max_size=30))
def test_session_moves_along_the_table(events: list[Event]) -> None:
    session = RoleSession("support")
    state = SessionState.INIT
    for event in events:
        expected = naive(state, event)
        if expected is None:
            with pytest.raises(rolecore.SessionExpired):
                fire(session, event)
        else:
            fire(session, event)
            state = expected
        assert session.state is state
        if state is not SessionState.ACTIVE:
            assert session._history is None
        if state is not SessionState.EXPIRED:
            assert session.messages == []


def test_design_fixes_the_first_arguments() -> None:
    session = rolecore.RoleSession("support", timeout_s=300)
    assert (session.role_id, session.timeout_s, session.tenant, session.heartbeat_s) == ("support", 300, "", None)
    assert session.session_id != rolecore.RoleSession("support").session_id
    assert rolecore.RoleSession("support").timeout_s == 300


@pytest.mark.parametrize(
    "options",
    [
        {"role_id": ""},
        {"role_id": 7},
        {"session_id": ""},
        {"session_id": "a\0"},
        {"tenant": "\ud800"},
        {"timeout_s": 0},
        {"timeout_s": -1},
        {"timeout_s": "300"},
        {"timeout_s": float("nan")},
        {"timeout_s": None},
        {"heartbeat_s": 0},
        {"heartbeat_s": True},
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(rolecore.ArgumentError):
        RoleSession(options.pop("role_id", "support"), **options)


def test_message_notes_the_times() -> None:
    session = RoleSession("support")
    times = [session.last_active]
    session.touch(12.0, 1_700_000_000.0)
    times += [session.used_at, session.last_active]
    assert times == [None, 12.0, 1_700_000_000.0]


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("uses_history", [False, True])
def test_context_stays_through_pauses(text: str, uses_history: bool) -> None:  # noqa: FBT001
    session = RoleSession("support")
    expected: list[dict[str, Any]] = []
    for i in range(3):
        session.touch(float(i), 0.0)
        if uses_history:
            assert session.history.to_messages() == expected
        turn = [message(text), message(f"{i}: {text}", "assistant")]
        session.extend(turn)
        expected += turn
        assert session.messages == expected
        session.vectors = np.eye(3, dtype=np.float32)
        session.pause()
        assert session._history is None
        assert session._tail is None
        assert session.vectors is None
        assert session.messages == expected
        assert session.version == len(expected)
    assert session.history.to_messages() == expected
    assert session._history is None  # while it is paused, none is kept


def test_paused_session_counts_the_bytes_it_holds() -> None:
    session = RoleSession("support")
    session.touch(0.0, 0.0)
    session.extend([message("x" * 1000)])
    about = session.nbytes
    session.pause()
    assert isinstance(session._base, bytes)
    assert session.nbytes == len(session._base)
    assert abs(about - session.nbytes) < 200


@pytest.mark.parametrize("uses_history", [False, True])
def test_pins_stay_through_pauses(uses_history: bool) -> None:  # noqa: FBT001
    session = RoleSession("support")
    session.touch(0.0, 0.0)
    session.history.append(message("never refund", "system"), pin=True)
    session.pause()
    session.touch(1.0, 0.0)
    if uses_history:
        assert len(session.history) == 1
    session.extend([message("hello"), message("hi", "assistant")])
    session.pause()
    assert isinstance(session._base, bytes)
    assert rolecore.codec.open_snapshot(session._base).to_dict()["pinned"] == [0]


def test_messages_that_no_chat_api_takes_are_kept_all_the_same() -> None:
    session = RoleSession("support")
    session.touch(0.0, 0.0)
    assert len(session.history) == 0
    session.extend([message("hello"), {"role": "nobody", "content": 7}])
    assert session.messages == [message("hello"), {"role": "nobody", "content": 7}]
    session.pause()
    assert session.messages == [message("hello"), {"role": "nobody", "content": 7}]
    with pytest.raises(rolecore.MessageError):
        _ = session.history


def test_expired_session_holds_nothing_and_says_where_its_turns_are() -> None:
    session = RoleSession("support")
    session.touch(0.0, 0.0)
    session.extend([message("hello")])
    session.expire()
    assert (session.nbytes, session._base, session._tail, session._history) == (0, None, None, None)
    with pytest.raises(rolecore.SessionExpired, match="in the store"):
        session.heartbeat()
    with pytest.raises(rolecore.SessionError, match="not loaded"):
        _ = session.messages
    with pytest.raises(rolecore.SessionError, match="not loaded"):
        _ = session.history


def test_three_missed_beats_in_a_row_are_too_many() -> None:
    session = RoleSession("support", heartbeat_s=1)
    assert [session.miss() for _ in range(MISSED_BEATS)] == [False, False, True]
    session = RoleSession("support", heartbeat_s=1)
    for _ in range(5):
        assert [session.miss(), session.miss()] == [False, False]
        session.heartbeat()
        assert not session.miss()  # in this time it came


def test_repr_shows_no_id() -> None:
    session = RoleSession("support", session_id="anna@example.org", tenant="acme")
    assert repr(session) == "RoleSession(state=INIT, version=0, nbytes=0)"


def test_history_reads_new_messages_when_it_is_used_and_they_are_never_twice_there() -> None:
    session = rolecore.RoleSession("support")
    session.touch(0.0, 0.0)
    first, second = ({"role": "user", "content": text} for text in ("one", "two"))
    session.extend([first])
    history, unread = session.open_history()
    session.extend([second])
    assert (len(history), unread, session.messages) == (1, [second], [first, second])
    assert session.history is history
    assert (len(history), session.open_history()[1], session.messages) == (2, [], [first, second])
    session.extend([first])
    session.pause()
    assert session.messages == [first, second, first]


def test_message_that_no_history_takes_stays_and_is_told_of_each_time() -> None:
    session = rolecore.RoleSession("support")
    session.touch(0.0, 0.0)
    good, bad = {"role": "user", "content": "one"}, {"role": "user", "content": None}
    session.extend([good])
    assert len(session.history) == 1
    session.extend([bad])
    for _ in range(2):
        with pytest.raises(rolecore.MessageError):
            _ = session.history
        assert session.messages == [good, bad]
    session.pause()
    assert session.messages == [good, bad]
