# Made by `make stubs` from the Rust sources in rust/py: change those, not this file.

import collections.abc
import os
import typing
from collections.abc import Iterator
from typing import Any, Final, final

import numpy
import numpy.typing
import typing_extensions

CUT_KEY: Final[str]
CUT_MARK: Final[str]
__version__: Final[str]

@final
class Batch:
    """The snapshots of a batch file: a sequence that opens each where it is, when it is asked for.

    The snapshots hold the file themselves: they can be read when the batch is gone, or the file deleted.
    """
    def __getitem__(self, index: Any, /) -> Any: ...
    def __iter__(self, /) -> Iterator:
        """Iterate over the snapshots, each opened when its turn comes."""
    def __len__(self, /) -> int: ...
    @property
    def n_torn_bytes(self, /) -> int:
        """Bytes at the end of the file that are no whole snapshot.

        A crash lost them, or a writer is about to write them. The next writer cuts them off.
        """
    @property
    def nbytes(self, /) -> int:
        """Bytes of the file that are read: all but `n_torn_bytes`."""
    def verify(self, /) -> None:
        """Check all of it at once: every checksum, every snapshot as its own `verify` does, and what is listed.

        Raises:
            CodecError: what is damaged, and where.

        Cost: O(bytes), without the GIL; 16 bytes of memory for each snapshot.
        """

@final
class BatchWriter:
    """The one writer of a batch file: snapshots are appended, none is ever changed.

    A context manager that closes the file, whether or not an exception leaves it. What was appended is in the file from then on: neither
    an exception nor the end of the process undoes it. A power failure may undo what was appended since the last `flush` or `close`,
    never what was there before. Without a `close`, the file takes longer to open, until the next one.

    Args:
        path: of the file, which is created if there is none. What a crash tore off at its end is cut off.

    Raises:
        OSError: the file cannot be written, or another writer has it open, in any process.
        CodecError: it is no batch file, a newer one, or one that something else than a crash has damaged; it is left as it is.
        ArgumentError: `path` is no path.

    Example:
        >>> import os, tempfile
        >>> from rolecore.codec import BatchWriter, encode_snapshot, open_batch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "sessions")
        ...     with BatchWriter(path) as writer:
        ...         writer.append(encode_snapshot([{"role": "user", "content": "Hi"}], session_id="a"))
        ...     [snapshot.session_id for snapshot in open_batch(path)]
        0
        ['a']
    """
    def __bool__(self, /) -> bool:
        """A writer is true, whatever is in the file."""
    def __enter__(self, /) -> BatchWriter: ...
    def __exit__(self, /, *_exception: object) -> None: ...
    def __len__(self, /) -> int:
        """Snapshots in the file."""
    def __new__(cls, /, path: str | os.PathLike[str]) -> BatchWriter: ...
    def append(self, snapshot: typing_extensions.Buffer, /) -> int:
        """Append a snapshot; return its index in the file.

        Args:
            snapshot: what `encode_snapshot` returned: any buffer of contiguous bytes.

        Raises:
            CodecError: it cannot be opened as a snapshot. What is damaged deeper is not looked for.
            OSError: it cannot be written; then nothing of it is in the file, and the writer can be used again.
            ArgumentError: the writer is closed or of another process, which forked this one; an earlier failure could not be undone;
                or `snapshot` is no buffer.

        Cost: O(bytes), without the GIL; nothing is copied but what can be written to. No wait for the disk.
        """
    def close(self, /) -> None:
        """Flush and close the file. A closed one is left alone, and in a forked process nothing is flushed.

        Raises:
            OSError, CodecError: as for `flush`; the file is closed all the same.
        """
    def flush(self, /) -> None:
        """Wait until all that was appended is on disk, and list it, so that the file opens fast.

        Raises:
            OSError: the system cannot write it. What was appended is still in the file, but may not be on disk; if the writer refuses
                more, open another.
            CodecError: what is listed so far is damaged; another writer lists it anew.
            ArgumentError: as for `append`.

        Cost: two waits for the disk, without the GIL; for each snapshot 16 bytes, which are written O(log snapshots) times in all.
        """

@final
class Entry:
    """What a key stands for. It stays as it is when the entry is evicted or replaced, and holds its memory until then."""
    @property
    def expires_in_s(self, /) -> float | None:
        """Seconds it was still good for when it was looked up; None without an end."""
    @property
    def key(self, /) -> str:
        """The key it was put in with."""
    @property
    def value(self, /) -> bytes | str | None:
        """The value: bytes, a string or None."""
    @property
    def vector(self, /) -> Any:
        """The stored vector: a read-only float32 array of shape (dim,), of unit length. It is a view and copies nothing."""

@final
class HashingEmbedder:
    """Embed texts by how they are written: no model, no download, the same rows everywhere.

    Words, pairs of neighbouring words and trigrams inside words, or characters and their pairs in scripts without spaces, as
    Chinese, are hashed into `dim` numbers. Near duplicates are near, in any case, width and punctuation; the same said in other
    words is not: take `OnnxEmbedder` or `OpenAIEmbedder` for that. What is and is not told apart is in docs/embedders.md.

    Immutable, safe to share between threads, and pickles.

    Args:
        dim: numbers of a row, from 1 to 65,536. With fewer, unrelated texts come nearer by chance: about 1 / sqrt(dim).

    Raises:
        ArgumentError: `dim` is no number or out of its range.

    Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (ICML 2009). Repeats count with their square
    root, word pairs half: chosen on a dozen pairs of sentences, not tuned further.

    Example:
        >>> rows = rolecore.HashingEmbedder().embed(["Reset my password!", "reset my password", "怎么申请退款"])
        >>> rows.shape, rows.dtype.name
        ((3, 384), 'float32')
        >>> bool(rows[0] @ rows[1] > 0.99 > 0.2 > rows[0] @ rows[2])
        True
    """
    def __getnewargs__(self, /) -> tuple: ...
    def __new__(cls, /, dim: int = 384) -> HashingEmbedder: ...
    @property
    def dim(self, /) -> int:
        """Numbers of a row."""
    def embed(self, /, texts: collections.abc.Iterable[str]) -> numpy.typing.NDArray[numpy.float32]:
        """Return a unit row for each text.

        Args:
            texts: an iterable of strings, not one string; a lone surrogate is taken as U+FFFD. A text with no word, number or
                symbol in it, an empty one too, has a row by its visible characters: like its own kind only.

        Returns:
            A new array, float32, shape (n, dim), C-contiguous, unit length.

        Raises:
            ArgumentError: `texts` is a string or no iterable, or an item is not a string.

        Cost: linear but for a sort of each text's features; about 4 us an English sentence, 8 us a Chinese one. The GIL is released above 8 kB of text.
        """
    @property
    def model_id(self, /) -> str:
        """Names what the rows depend on: the method's version and `dim`."""

@final
class History:
    """A chat history that knows what each message costs.

    Messages are OpenAI-style dicts (system, developer, user, assistant with tool_calls, tool; content a str, a list of
    parts, or None beside tool_calls). Each is checked, counted and read once, when it is appended; the dict itself is
    kept, handed back untouched, and must not be changed by the caller afterwards.

    Args:
        messages: what to start with.
        tokenizer: an encoding, a model's name, the path of a tokenizer.json, or a Tokenizer.

    Raises:
        MessageError: a message is not of the form a chat API takes; nothing is appended.
        TokenizerError: the tokenizer is unknown or cannot be counted exactly.

    Safe to share between threads.
    """
    def __getitem__(self, index: Any, /) -> Any: ...
    def __iter__(self, /) -> Iterator:
        """Iterate over the messages there are now."""
    def __len__(self, /) -> int: ...
    def __new__(
        cls,
        /,
        messages: collections.abc.Iterable[dict[str, typing.Any]] | None = None,
        *,
        tokenizer: str | os.PathLike[str] | Tokenizer | None = None,
    ) -> History: ...
    def append(self, /, message: dict[str, typing.Any], *, pin: bool = False) -> None:
        """Append one message; with `pin` it stays in every window.

        A pinned tool call or result keeps its whole group.

        Raises:
            MessageError: the message is not of the form a chat API takes; nothing is appended.

        Cost: one token count of its text, then O(bytes). The GIL is released above 8 kB.
        """
    def extend(self, /, messages: collections.abc.Iterable[dict[str, typing.Any]]) -> None:
        """Append all of `messages`, or none of them when one is refused.

        Raises:
            MessageError: names the first message that is not of the form a chat API takes.
        """
    def fit(
        self,
        /,
        budget_tokens: int | None = None,
        *,
        retain_ratio: float | None = None,
        query: str | None = None,
        keep_last: int = 3,
        unit: str = ...,
        summary: str | collections.abc.Callable[..., str] | None = None,
        shrink_tool_outputs: bool = False,
        on_orphans: str = ...,
        start_with_user: bool = False,
        embedder: typing.Any = None,
    ) -> Window:
        """Return the best legal request of at most `budget_tokens` that this history makes.

        System, developer and pinned messages, the newest `keep_last` turns and a pending tool call always stay. A tool call
        and all its results stay or go together. Order never changes. What is under the budget comes back unchanged, but for
        results without calls and calls without results, which no provider takes.

        With `summary`, what stands of the messages that are left out in their stead: one message of the role user, after the
        leading instructions, of at most a quarter of the budget that what must stay leaves. "extractive" takes their key
        sentences. A callable is called once as `summary(messages, max_tokens=n)` with the messages left out, your own dicts in
        order, and returns a str, which is cut at its end if it is longer; "extractive" stands in when it raises an Exception or
        returns no text, and `Report.summary_fallback` says so. It is called without any lock, and not at all when nothing is
        left out or no room is left for a summary.

        Args:
            budget_tokens: most tokens the window may have, by this history's tokenizer; reply priming not included.
            retain_ratio: share of the history's tokens to keep, 0 to 1, rounded down; with both, the smaller budget rules.
            query: what the next request is about; messages that match it are kept first.
            keep_last: newest turns that must stay; a turn is a user message and all up to the next.
            unit: "message" keeps or leaves out whole messages; "sentence" also cuts inside a message.
            summary: None, "extractive", or a callable.
            shrink_tool_outputs: make tool outputs smaller before anything is left out, once the history is over the budget. JSON
                loses nothing: no white space, and arrays of like objects become a first object and rows of values ("sentence"
                keeps the keys); logs keep errors, head and tail, and tell what went; of equal outputs the newest stays.
            on_orphans: "repair" leaves out results without calls and calls without results; "raise" refuses them.
            start_with_user: the first message that is no instruction is a user's, as some providers ask.
            embedder: an object with `embed(texts)`: for a list of str an array, float32, shape (n, dim), unit rows. Messages that mean
                what the query means then count as well as those that share its words. It is called at most once, without any
                lock, for the query and the messages that it has not embedded for this history yet, which keeps it and its
                rows; another object starts anew. Not called without a query, or while the whole history fits.

        Returns:
            A Window. Its whole messages are the caller's own objects.

        Raises:
            BudgetError: what must stay needs more; `.needed` is the smallest budget that works.
            ArgumentError: neither budget nor ratio, or one out of its range; an embedder without `embed`, or that returns no such
                array. What `embed` raises is passed on.
            MessageError: an orphan, with on_orphans="raise"; no user message to start with.

        Cost: O(distinct terms of the history + n log n); no text is read and no token counted. The GIL is released above
        20,000 messages. With an embedder, its own and O(n x dim).
        """
    @staticmethod
    def load(path: str | os.PathLike[str], *, tokenizer: str | os.PathLike[str] | Tokenizer | None = None) -> History:
        """Return the messages and pins of a snapshot in a file as a History, counted anew.

        Args:
            path: of the file that `save` wrote, or any that holds what `codec.encode_snapshot` returned.
            tokenizer: what counts; None: the one that is named in the file, or that of a History if none is.

        Raises:
            OSError: the file cannot be read; FileNotFoundError: there is none.
            CodecError: it is no snapshot, or is damaged; all of it is checked first.
            TokenizerError: its tokenizer is none that comes with rolecore, such as that of a tokenizer.json; pass `tokenizer`.
            MessageError: a message is not of the form a chat API takes.
            ArgumentError: an argument is of a wrong kind.

        Cost: O(bytes), and a count of all messages; their words are read when a window is first chosen.
        """
    def save(
        self,
        /,
        path: str | os.PathLike[str],
        *,
        session_id: str = ...,
        role: str = ...,
        summary: str | None = None,
        vectors: numpy.typing.ArrayLike | None = None,
        payload: typing_extensions.Buffer | None = None,
    ) -> None:
        """Write the messages and pins to a file as a snapshot: all of them, or nothing.

        Args:
            path: of the file. One that is there is replaced in one step, with a new file beside it that is complete and on disk; a
                symbolic link is replaced, not followed.
            session_id: the session's name. `load` leaves it in the file, as all that follows: `codec.open_snapshot` finds it there.
            role: the role that the session is held with.
            summary: what turns that were left out come to.
            vectors: float32, shape (n, dim), or anything NumPy makes into it.
            payload: bytes of your own, or any buffer.

        Raises:
            OSError: the file cannot be written. What was at `path` is still there, and no other file is left.
            CodecError: what no snapshot can hold, as in `codec.encode_snapshot`; then nothing is written.
            ArgumentError: an argument is of a wrong kind.

        Cost: that of `codec.encode_snapshot`, then O(bytes) on disk without the GIL: others can use the history meanwhile.
        """
    def to_messages(self, /) -> list[dict[str, typing.Any]]:
        """Return the messages as a new list of the very objects that were appended."""
    @property
    def tokens(self, /) -> int:
        """Tokens of all messages: the per-model message cost, role, name, content and tool calls of each.

        Reply priming is apart: `Tokenizer.reply_tokens`.
        """

@final
class Hit:
    """An entry that was found by its vector."""
    @property
    def key(self, /) -> str:
        """The key of the entry."""
    @property
    def score(self, /) -> float:
        """The float64 dot product of the vector that was looked for, at unit length, with the stored one.

        It is their cosine to within 3e-6: that of equal vectors may be a little below or above 1.
        """
    @property
    def value(self, /) -> bytes | str | None:
        """The value: bytes, a string or None."""

@final
class Report:
    """The figures behind a Window.

    Attributes:
        budget_tokens: the budget the window was chosen for.
        history_tokens: tokens of the history, orphans included.
        window_tokens: tokens of the window.
        reused_prefix_tokens: tokens of the leading messages that the history and the window share; of a RollingWindow's view,
            that it and the view before share.
        history_messages: messages of the history.
        window_messages: messages of the window.
        reasons: for each reason, (messages, tokens) of the history that it covers; together they are the whole history. Kept:
            "instruction", "pinned", "newest turn", "pending call", "starts with user", "worth its tokens", "since last
            choice" (by a RollingWindow), "folded" (some of it); left out: "shrunk" (what smaller tool outputs saved), "over
            budget", "orphan". A message that is cut counts where it is kept, its lost tokens as "over budget".
        orphans_dropped: indices of the messages that repair left out.
        calls_removed: (index, count) of the messages that lost unanswered tool calls.
        summary: who wrote the summary in the window: "extractive", "callable", or None if there is none.
        summary_fallback: why the callable's summary was not taken, or None.
    """
    def _repr_html_(self, /) -> str: ...
    @property
    def budget_tokens(self, /) -> int: ...
    @property
    def calls_removed(self, /) -> list[tuple[int, int]]: ...
    @property
    def history_messages(self, /) -> int: ...
    @property
    def history_tokens(self, /) -> int: ...
    @property
    def orphans_dropped(self, /) -> list[int]: ...
    @property
    def reasons(self, /) -> dict[str, tuple[int, int]]: ...
    @property
    def reused_prefix_tokens(self, /) -> int: ...
    @property
    def summary(self, /) -> str | None: ...
    @property
    def summary_fallback(self, /) -> str | None: ...
    def to_dict(self, /) -> dict[str, typing.Any]:
        """Return the figures as a new dict of plain numbers, lists and dicts."""
    @property
    def window_messages(self, /) -> int: ...
    @property
    def window_tokens(self, /) -> int: ...

@final
class RetainController:
    """Turns memory readings into a retain ratio that stays the same while memory only swings.

    It acts on a reading that is more than `margin` away from the reading it last acted on, or above 85 %, and keeps its
    ratio otherwise: a usage that swings within one margin around 85 % changes the ratio at most once, at any slope.
    Above 85 % the ratio is 0.4 at once; upwards it moves in steps, and only while usage is at or under 85 % - `margin`.
    The first reading gives exactly `compute_retain_ratio`. No clock, no thread: the same readings give the same ratios.
    One controller may be shared by threads.

    Args:
        slope: ratio gained for each unit of usage under 0.85, as in `compute_retain_ratio`; 0 or more.
        margin: change of usage that is ignored, as a share of the limit; 0 or more and below 0.85.
        max_rise: the most the ratio may rise with one reading; above 0 and at most 1.

    Raises:
        ArgumentError: a parameter is no number or out of its range.

    Source: the formula's as in `compute_retain_ratio`; margin and max_rise are our choice, not measured. Five readings
    bring the ratio from 0.4 back to the top of slope 0.5.

    Example:
        >>> keep = rolecore.RetainController()
        >>> [round(keep.update(used, 100), 3) for used in (50, 87, 83, 70, 70)]
        [0.575, 0.4, 0.4, 0.475, 0.475]
    """
    def __new__(cls, /, *, slope: float = 0.5, margin: float = 0.05, max_rise: float = 0.1) -> RetainController: ...
    @property
    def ratio(self, /) -> float | None:
        """The ratio after the last reading; None before the first."""
    def update(self, /, used_bytes: float, limit_bytes: float) -> float:
        """Take one reading and return the ratio from now on.

        Args:
            used_bytes: memory in use, 0 or more; it may exceed the limit. `Memory.used_bytes`.
            limit_bytes: memory there may be, above 0. `Memory.limit_bytes`.

        Returns:
            A share in 0.4..0.9, for `History.fit(retain_ratio=...)`.

        Raises:
            ArgumentError: an argument is no number, not finite or below 0, or the limit is 0; the ratio stays as it was.

        Cost: O(1).
        """

@final
class RoleIndex:
    """The roles of a `Router`, and the rules they are chosen by.

    Args:
        rows: float32, shape (n, dim).
        counts: how many of them each role has, in order.
        words: the sensitive words of each.
        live: float64, shape (8 * roles,), read at each decision: queue, since, busy, answers, failures, at, blocked and
            closed, each of all roles.
    """
    def __new__(
        cls,
        /,
        rows: numpy.typing.NDArray[numpy.float32],
        counts: list[int],
        words: list[list[str]],
        live: typing_extensions.Buffer,
        *,
        embedder: HashingEmbedder | None,
        policy: str,
        threshold: float,
        margin: float,
        hold: float,
        fallback: int | None,
        time_constant_s: float,
        seed: int,
    ) -> RoleIndex: ...
    def choose(self, /, query: str, vector: numpy.typing.ArrayLike | None, last: int | None, now: float) -> Routed:
        """Return the decision for a query, whose vector may be None where the embedder is known or a sensitive word decides.

        Cost: some microseconds at 1,000 roles. The GIL is held.
        """
    def sensitive(self, /, query: str) -> int | None:
        """Return the index of the role that a query with a sensitive word goes to, or None."""
    def similarities(self, /, vector: numpy.typing.ArrayLike) -> list[float]:
        """Return how well each role matches a vector."""

@final
class RollingWindow:
    """A window over a History that grows, made so that a provider's prompt cache keeps its beginning.

    While the history fits the budget, a view is the whole of it. From then on views change in epochs: between two epochs each
    view is the one before with the new messages at its end, the same objects. When that passes the budget, an epoch makes room:
    the messages since the last epoch are weighed and the worthiest stay, and what stayed before is left as it is; when that
    frees too little, all is chosen anew from the whole history, down to `target` of the budget, or to what must stay. Use it
    where a chat is sent turn by turn, and `History.fit` where a window is wanted once.

    Args:
        history: the History it follows: append to that, then view. It is shared, not copied.
        budget_tokens: most tokens a view may have; reply priming not included.
        target: share of the budget that a choice from the whole history goes down to, above 0 and at most 1. Lower, epochs are
            rarer and views hold less.
        keep_last: newest turns that stay; a turn is a user message and all up to the next. Turns that are over the budget
            themselves, as a long run of tool calls can be, are held to their newest messages: at least the newest, and more of
            them up to a tenth of the budget.
        unit: "message" keeps or leaves out whole messages; "sentence" also cuts inside a message, at an epoch.

    Raises:
        ArgumentError: an argument is of a wrong kind or out of its range.

    Safe to share between threads.

    Example:
        >>> import rolecore
        >>> history = rolecore.History()
        >>> roll = rolecore.RollingWindow(history, 1000)
        >>> history.append({"role": "user", "content": "hello"})
        >>> roll.view().tokens
        5
    """
    def __new__(
        cls, /, history: History, budget_tokens: int, *, target: float = 0.6, keep_last: int = 3, unit: str = ...
    ) -> RollingWindow: ...
    @property
    def budget_tokens(self, /) -> int:
        """Most tokens a view may have."""
    @property
    def epochs(self, /) -> int:
        """Epochs so far: how often a view was not the one before with more at its end."""
    @property
    def history(self, /) -> History:
        """The history it follows."""
    def view(self, /, query: str | None = None) -> Window:
        """Return the window of the history as it is now.

        System, developer and pinned messages, the newest turns and a pending tool call stay; a tool call and its results stay or
        go together; whole messages are your own objects. One thing may change a message between epochs: when the next message
        shows that a pending call will get no result, the call is taken out, as no provider takes it.

        With `query`, the worthiest sentences for it of messages that are left out come as one more message of the role user, just
        before the newest turn: a first line that says so, then a sentence a line, under a line with the speaker. It takes what
        the budget leaves; once there was a query, a tenth of the budget is kept free for it. The rest of the window is as
        without a query, so what comes before the excerpts stays the same.

        Args:
            query: what the next request is about.

        Returns:
            A Window. Its `reused_prefix_tokens` are those of the leading messages that are the previous view's; 0 at first.

        Raises:
            BudgetError: instructions, pinned messages, a pending call and the newest message are over the budget; `.needed` is
                the smallest budget that works.

        Cost: O(new messages) between epochs and without a query, and a list of pointers; that of one or two fits at an epoch, of
        one with a query. The GIL is held.
        """

@final
class Routed:
    """A decision of a `RoleIndex`."""
    @property
    def blocked_until(self, /) -> float | None:
        """Until when, by the clock, all that match are blocked; None where that is not the reason."""
    @property
    def candidates(self, /) -> list[tuple[int, float, float, float, float, bool, float]]:
        """Role, similarity, queue, seconds an answer, success, whether blocked, and weight of each that was looked at, best match first."""
    @property
    def reason(self, /) -> str:
        """Why: "match", "policy", "sensitive word", "held", "fallback", "no match" or "blocked"."""
    @property
    def role(self, /) -> int | None:
        """The index of the role, or None."""
    @property
    def row(self, /) -> bytes | None:
        """The query's row as bytes of float32, where it was embedded here."""
    @property
    def second(self, /) -> int | None:
        """The index of the next best role that could do the same, or None."""

@final
class Snapshot:
    """A session that is read in place."""
    @property
    def created_ms(self, /) -> int:
        """When the session began, in milliseconds since 1970 UTC; 0 where that is unknown."""
    @property
    def nbytes(self, /) -> int:
        """Bytes of the whole snapshot."""
    @property
    def payload(self, /) -> memoryview | None:
        """The payload: a read-only memoryview, or None."""
    @property
    def role(self, /) -> str:
        """The role that the session is held with; empty where there is none."""
    @property
    def session_id(self, /) -> str:
        """The session's name; empty where there is none."""
    def sizes(self, /) -> dict[str, int]:
        """Return how many bytes each field has that is there, by its name; those of turns are theirs to tell."""
    @property
    def summary(self, /) -> str | None:
        """What turns that were left out come to, or None."""
    def to_dict(self, /) -> dict[str, typing.Any]:
        """Return all of it: the fields by name, `messages` as they were encoded, and `pinned`, the indices of those that are.

        What was written about a message beside it, its tokens and its time, is in `turns` alone.

        Raises:
            CodecError: it is damaged.
        """
    def to_history(self, /, *, tokenizer: str | os.PathLike[str] | Tokenizer | None = None) -> History:
        """Return the messages and pins as a History, counted anew; their words are read when a window is first chosen.

        Args:
            tokenizer: what counts; None: the snapshot's own, or that of a History if it names none.

        Raises:
            CodecError: it is damaged. TokenizerError: its tokenizer is none that comes with rolecore; name one. A path that a snapshot
            names is never opened. MessageError: a message is not of the form a chat API takes.
        """
    @property
    def tokenizer(self, /) -> str | None:
        """The name of the tokenizer that counted, or None."""
    @property
    def turns(self, /) -> Turns:
        """What was said, oldest first: a sequence of Turn."""
    @property
    def updated_ms(self, /) -> int:
        """When it was last changed, in milliseconds since 1970 UTC; 0 where that is unknown."""
    @property
    def vectors(self, /) -> Any | None:
        """The vectors: a read-only float32 array of shape (n, dim), a view wherever the buffer lies right for it; or None."""
    def verify(self, /) -> None:
        """Check all of it at once: structure, alignment, texts.

        Raises:
            CodecError: what is damaged, and where.

        Cost: O(bytes), in bounded depth; the GIL is released.
        """
    @property
    def version(self, /) -> int:
        """The least version of the schema that a reader has to know."""

@final
class TokenStream:
    """A growing text and its exact number of tokens.

    Made by `Tokenizer.stream`. What can no longer change is counted once and forgotten; only the last word or clause is counted
    again. May be shared between threads.
    """
    def append(self, /, part: str) -> None:
        """Add a part to the end of the text.

        Args:
            part: any string; special tokens in it are ordinary text.

        Raises:
            ArgumentError: `part` is not a string.

        Cost: linear in `part` and what was open before it; the GIL is released above 8 kB.
        """
    @property
    def tokens(self, /) -> int:
        """Number of tokens of the whole text so far, as `Tokenizer.count` gives it.

        Cost: one count of what is open: the last word or clause, or as much of a run without one, as of digits, emoji or blanks. With a
        tokenizer.json that splits by a pattern of its own, as DeepSeek's, that is the whole text.
        """

@final
class Tokenizer:
    """Count, encode and cut texts exactly as one model does, offline.

    Made by `rolecore.tokenizer`. Immutable and safe to share between threads; copies are the same object, and a pickle holds
    the encoding's name or the file's path.
    """
    def __copy__(self, /) -> Tokenizer: ...
    def __deepcopy__(self, _memo: Any, /) -> Tokenizer: ...
    def __reduce__(self, /) -> tuple[Any, tuple]: ...
    def count(self, /, text: str, *, allowed_special: collections.abc.Iterable[str] = ...) -> int:
        """Return the number of tokens of `text`.

        Special tokens written in the text are ordinary text, as in tiktoken's `encode_ordinary`, unless they are allowed.

        Args:
            text: any string; a lone surrogate counts as U+FFFD.
            allowed_special: special tokens that are one token where they are written, as ("<|endoftext|>",), or "all" of them.

        Raises:
            ArgumentError: `text` is not a string, or `allowed_special` neither "all" nor an iterable of strings.
            TokenizerError: an allowed one is no special token of this tokenizer.

        Cost: linear, whatever the text, with no list of ids but of a word over 64 bytes; the GIL is released above 8 kB.

        Example:
            >>> rolecore.tokenizer("gpt-4o").count("hello world")
            2
            >>> rolecore.tokenizer("gpt-4o").count("bye<|endoftext|>", allowed_special="all")
            2
        """
    def count_batch(self, /, texts: collections.abc.Iterable[str], *, threads: int = 1) -> list[int]:
        """Return the number of tokens of each text.

        Args:
            texts: an iterable of strings, not one string.
            threads: how many may count at once, from 1; more than there are processors are not used. A thread takes about 50 us to
                start, as long as counting 10 kB.

        Returns:
            A list as long as `texts`.

        Raises:
            ArgumentError: `texts` is a string or no iterable, an item is not a string, or `threads` is no number from 1.

        Cost: as `count`, with one crossing for all; the GIL is released when they hold more than 8 kB together.

        Example:
            >>> rolecore.tokenizer("gpt-4o").count_batch(["hello", "hello world"])
            [1, 2]
        """
    def count_messages(
        self,
        /,
        messages: collections.abc.Iterable[dict[str, typing.Any]],
        *,
        tools: collections.abc.Iterable[dict[str, typing.Any]] | None = None,
    ) -> int:
        """Return the tokens that `messages` and `tools` add to a request.

        Additive: the sum over the messages of the model's per-message cost, role, name, content and tool calls, and what the
        tools cost, which are in no message. Reply priming is apart: `reply_tokens`.

        Args:
            messages: an iterable of OpenAI-style dicts. An image costs by its size where it comes in base64, else the most an
                image may cost. Base64 texts in audio and file parts are left out: no provider counts them as text, and none
                publishes a rule by their bytes.
            tools: the request's functions, an iterable of dicts as in Chat Completions, {"type": "function", "function": {"name",
                "description", "parameters"}}, or flat as in Responses. For OpenAI's encodings, exact by the published rule where
                properties are flat; nested ones and other keys are counted high.

        Raises:
            MessageError: a message is not of the form a chat API takes.
            ArgumentError: `messages` is no iterable of dicts, or a tool is no function of the forms above.

        Cost: one count of all text; the GIL is released above 8 kB.

        Source: a table of per-model costs, each row with its own source; see docs/tokens.md.

        Example:
            >>> rolecore.tokenizer("gpt-4o").count_messages([{"role": "user", "content": "hello"}])
            5
            >>> tools = [{"type": "function", "function": {"name": "now", "description": "Tell the time."}}]
            >>> rolecore.tokenizer("gpt-4o").count_messages([], tools=tools)
            24
        """
    def count_until(self, /, text: str, limit: int) -> int | None:
        """Return the number of tokens of `text`, or None if it has more than `limit`.

        For the question whether a text fits: it ends as soon as that is known.

        Args:
            text: any string; special tokens in it are ordinary text.
            limit: 0 or more.

        Raises:
            ArgumentError: `text` is not a string, or `limit` is no number from 0.

        Cost: linear in the smaller of the text and `limit` tokens; the GIL is released above 8 kB.

        Example:
            >>> rolecore.tokenizer("gpt-4o").count_until("hello world", 1) is None
            True
        """
    def decode(self, /, ids: collections.abc.Iterable[int]) -> str:
        """Return the text of token ids.

        Args:
            ids: an iterable of ids; special ones are allowed.

        Returns:
            A string; where the ids end inside a character, U+FFFD.

        Raises:
            TokenizerError: an id is not in the vocabulary.
            ArgumentError: `ids` is no iterable, or an item is no number from 0.

        Cost: O(n).

        Example:
            >>> rolecore.tokenizer("o200k_base").decode([24912, 2375])
            'hello world'
        """
    def encode(self, /, text: str, *, allowed_special: collections.abc.Iterable[str] = ...) -> list[int]:
        """Return the token ids of `text`.

        Args:
            text: any string; a lone surrogate is encoded as U+FFFD.
            allowed_special: as in `count`.

        Raises:
            ArgumentError: `text` is not a string, or `allowed_special` neither "all" nor an iterable of strings.
            TokenizerError: an allowed one is no special token of this tokenizer.

        Cost: linear, and a new list; the GIL is released above 8 kB.

        Example:
            >>> rolecore.tokenizer("o200k_base").encode("hello world")
            [24912, 2375]
        """
    @property
    def name(self, /) -> str:
        """Name of the encoding, or the path of the tokenizer.json."""
    @property
    def reply_tokens(self, /) -> int:
        """Tokens that open the model's reply; a request costs this once, besides its messages."""
    def stream(self, /) -> TokenStream:
        """Return a count that grows with a text as it comes in.

        Example:
            >>> stream = rolecore.tokenizer("gpt-4o").stream()
            >>> for part in ["The quick", " brown", " fox"]:
            ...     stream.append(part)
            >>> stream.tokens
            4
        """
    def truncate(self, /, text: str, max_tokens: int, *, side: str = ...) -> str:
        """Return the longest cheap prefix or suffix of at most `max_tokens` tokens.

        Args:
            text: any string.
            max_tokens: 0 or more.
            side: the end to keep, "head" or "tail".

        Returns:
            A prefix or suffix of `text`, `text` itself if it fits. Its count is never over `max_tokens`, and now and then a
            token or two under what would fit.

        Raises:
            ArgumentError: `text` is not a string, `max_tokens` is negative, or `side` is neither end.

        Cost: linear in what is kept, not in `text`, unless the text is one endless word; the GIL is released above 8 kB.

        Example:
            >>> rolecore.tokenizer("gpt-4o").truncate("The quick brown fox", 2)
            'The quick'
        """

@final
class ToolCall:
    """A tool call of a turn, read in place."""
    @property
    def arguments(self, /) -> str | None:
        """The arguments as the model wrote them, or None."""
    @property
    def extra(self, /) -> str | None:
        """All other keys of the call, as the text of a JSON object, or None."""
    @property
    def id(self, /) -> str | None:
        """What the result names as its tool_call_id, or None."""
    @property
    def is_custom(self, /) -> bool:
        """Whether it is a call of a custom tool, whose arguments are no JSON."""
    @property
    def name(self, /) -> str | None:
        """The name of the function or custom tool, or None."""
    def sizes(self, /) -> dict[str, int]:
        """Return how many bytes each text has that is there, by its field."""

@final
class Turn:
    """A message of a snapshot, read in place."""
    @property
    def extra(self, /) -> str | None:
        """All other keys of the message, as the text of a JSON object, or None."""
    @property
    def name(self, /) -> str | None:
        """The speaker's name, or None."""
    @property
    def parts(self, /) -> str | None:
        """The content, where it is a list of parts: the text of a JSON array; else None."""
    @property
    def pinned(self, /) -> bool:
        """Whether the turn stays in every window."""
    @property
    def refusal(self, /) -> str | None:
        """The text of an assistant's refusal, or None."""
    @property
    def role(self, /) -> str:
        """Who speaks: "system", "developer", "user", "assistant" or "tool"."""
    def sizes(self, /) -> dict[str, int]:
        """Return how many bytes each text has that is there, by its field; those of calls are theirs to tell."""
    @property
    def text(self, /) -> str | None:
        """The content, where it is one text; else None."""
    @property
    def time_ms(self, /) -> int:
        """When it was said, in milliseconds since 1970 UTC; 0 where that is unknown."""
    def to_dict(self, /) -> dict[str, typing.Any]:
        """Return the message as it was encoded: content, tool calls, unknown keys and all."""
    @property
    def tokens(self, /) -> int:
        """Tokens, as the session's tokenizer counts them with the message's frame; 0 where nobody counted."""
    @property
    def tool_call_id(self, /) -> str | None:
        """Which call a tool's turn answers, or None."""
    @property
    def tool_calls(self, /) -> tuple | None:
        """An assistant's calls: a tuple of ToolCall, or None where there is no list of them."""

@final
class Turns:
    """Turns of a snapshot: a sequence that makes each when it is asked for."""
    def __getitem__(self, index: Any, /) -> Any: ...
    def __iter__(self, /) -> Iterator:
        """Iterate over the turns, each made when its turn comes."""
    def __len__(self, /) -> int: ...

@final
class VectorCache:
    """Values by key and by meaning: bounded in entries and bytes, with tenants that cannot see each other.

    An entry is a key, a vector and a value. It is found by its key, with `get`, or by another vector that points the same way,
    with `lookup`. Vectors are stored at unit length, scores are cosines, and what is found is exact. When the cache is full, the
    entry that the policy names goes, in constant time (gdsf: logarithmic).

    Args:
        dim: numbers of a vector, 1 to 65,536.
        capacity: most entries, of all tenants together.
        max_bytes: most bytes, of all tenants together and of everything: vectors, what the index holds beside them, keys, values,
            tables. At least one of the two limits must be given.
        time_to_live_s: seconds after which an entry is gone, counted from its `put`; no hit makes it longer. None: no end.
        policy: which entry goes. "lru": the one whose last use is the longest ago. "s3fifo": an entry used once goes before those
            used again; better where many entries are never used. "gdsf": the one whose uses saved the least `cost` for its bytes.
        metric: "cosine", the only one.
        clock: a function that returns seconds, 0 or more, that never go back; None: the system's monotonic clock.

    Raises:
        CacheError: an argument is of a wrong kind or out of its range, or neither limit is given.

    Safe to share between threads. `get` waits for no search.

    Example:
        >>> import rolecore
        >>> cache = rolecore.VectorCache(2, capacity=1000)
        >>> cache.put("capital of France", [0.6, 0.8], "Paris")
        >>> cache.get("capital of France").value
        'Paris'
        >>> cache.lookup([0.61, 0.79], 0.95).key
        'capital of France'
    """
    def __bool__(self, /) -> bool:
        """A cache is true, empty or not: `if cache` asks whether there is one."""
    def __len__(self, /) -> int:
        """Entries of all tenants that have not expired."""
    def __new__(
        cls,
        /,
        dim: int,
        *,
        capacity: int | None = None,
        max_bytes: int | None = None,
        time_to_live_s: float | None = None,
        policy: str = ...,
        metric: str = ...,
        clock: collections.abc.Callable[[], float] | None = None,
    ) -> VectorCache: ...
    def clear(self, /) -> None:
        """Remove all entries of all tenants, pinned ones too, and give their memory back. What `stats` counts goes on."""
    def get(self, /, key: str, *, tenant: str = ..., model_id: str = ...) -> Entry | None:
        """Return the entry of a key, None if there is none or its time is over. Counts as a use.

        Args:
            key: any string.
            tenant: whose entry.
            model_id: what made the vector.

        Raises:
            CacheError: an argument is not a string.

        Cost: O(length of the key); nothing is copied. Waits for no search.
        """
    @staticmethod
    def load(
        path: str | os.PathLike[str],
        *,
        capacity: int | None = None,
        max_bytes: int | None = None,
        time_to_live_s: float | None = None,
        clock: collections.abc.Callable[[], float] | None = None,
    ) -> VectorCache:
        """Return the cache that was saved to a file, with the settings it had.

        Its vectors are read where they are in the file, which may be replaced or deleted meanwhile, but must not be changed or shortened
        in place; `save` never does that.

        Args:
            path: of the file.
            capacity: most entries from now on; None: as saved. Those that would be evicted next are left out.
            max_bytes: most bytes from now on; likewise.
            time_to_live_s: for entries that are put in from now on; None: as saved.
            clock: as in `VectorCache`. Time on disk counts: it is taken from the system's clock.

        Raises:
            OSError: the file cannot be read; FileNotFoundError: there is none.
            CacheError: an argument is not what it must be, the file is no snapshot or is damaged, or its pinned entries do not fit.

        Cost: O(bytes of the file), without the GIL: all of it is checked, and what searches need beside the vectors is made anew.

        Example:
            >>> import os, tempfile, rolecore
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     rolecore.VectorCache(2, capacity=9).save(os.path.join(folder, "answers"))
            ...     rolecore.VectorCache.load(os.path.join(folder, "answers"))
            VectorCache(dim=2, rows=0)
        """
    def lookup(
        self, /, vector: numpy.typing.ArrayLike, threshold: float, *, tenant: str = ..., model_id: str = ...
    ) -> Hit | None:
        """Return the entry whose vector is nearest, None if its score is below the threshold. Counts as a use of it.

        Args:
            vector: as in `put`; need not be of unit length.
            threshold: least score, -1 to 1. A vector may score a little less than 1 with itself: ask for 0.99999 at most, and
                by `get` for what has the same key.
            tenant: whose entries.
            model_id: what made the vector.

        Returns:
            A Hit; of several with the same score the oldest.

        Raises:
            CacheError: an argument is not what it must be.

        Cost: one search of the tenant's entries, without the GIL; exact.
        """
    def memory(self, /) -> dict[str, int]:
        """Return the bytes that are taken, by what they hold.

        Returns:
            rows: the vectors; mapped: those of a loaded cache, which are read in the snapshot's file, in pages that the system takes
            back when memory is short; codes: what the index holds beside them; keys; values; nodes: what ties entries together and keeps
            their order; tables: of keys and tenants, and the deadlines; total: of these, never above `max_bytes`; viewed: of entries
            that are gone and still held as an Entry, a Hit or an array, which no limit counts.

        Cost: O(1), and what has expired.
        """
    def put(
        self,
        /,
        key: str,
        vector: numpy.typing.ArrayLike,
        value: bytes | str | None = None,
        *,
        tenant: str = ...,
        model_id: str = ...,
        pinned: bool = False,
        time_to_live_s: float | None = None,
        cost: float = 1.0,
    ) -> None:
        """Put an entry in; one of the same key is replaced.

        Args:
            key: any string.
            vector: shape (dim,), finite and not all zeros; float32, or anything NumPy makes into it. It is copied, at unit length.
            value: bytes, a string, or None.
            tenant: whose entry it is. Other tenants never see it.
            model_id: what made the vector. Vectors of different models are never compared.
            pinned: never to be evicted. It still expires, and counts in both limits. Putting the key again without it unpins.
            time_to_live_s: seconds after which it is gone; None: what the cache says.
            cost: what a hit saves, in tokens or milliseconds, 0 or more. `stats` adds it up, the policy "gdsf" weighs it.

        Raises:
            CacheError: an argument is not what it must be, or the entry does not fit beside the pinned ones. The cache is as it was.

        Cost: O(dim), and what is evicted. The GIL is held unless another thread is using the cache.
        """
    def remove(self, /, key: str, *, tenant: str = ..., model_id: str = ...) -> bool:
        """Remove the entry of a key. Return whether there was one.

        Args:
            key: any string.
            tenant: whose entry.
            model_id: what made the vector.

        Raises:
            CacheError: an argument is not a string.
        """
    def save(self, /, path: str | os.PathLike[str]) -> None:
        """Write the cache to a file: all of it, or nothing.

        Args:
            path: of the file. One that is there is replaced in one step, with a new file beside it that is complete and on disk; a
                symbolic link is replaced, not followed. A cache that was loaded from the old file is not disturbed.

        Raises:
            OSError: the file cannot be written. What was at `path` is still there, and no other file is left.
            CacheError: `path` is no path.

        Cost: O(bytes of the cache), without the GIL; others can use the cache meanwhile. What is written was there at one moment.
        """
    def search(
        self, /, vector: numpy.typing.ArrayLike, top_k: int = 8, *, tenant: str = ..., model_id: str = ...
    ) -> list[Hit]:
        """Return the entries whose vectors are nearest, nearest first. Counts as no use, and in no statistic.

        Args:
            vector: as in `put`; need not be of unit length.
            top_k: how many at most, from 1.
            tenant: whose entries.
            model_id: what made the vector.

        Returns:
            A list of Hits; those with the same score from the oldest on.

        Raises:
            CacheError: an argument is not what it must be.

        Cost: one search of the tenant's entries, without the GIL; exact.
        """
    def stats(self, /) -> dict[str, float]:
        """Return what happened since the cache was made, and how full it is.

        Returns:
            hits_exact: keys that `get` found; hits_semantic: vectors that `lookup` found; refused: vectors for which a
            `SemanticCache` found entries that its gate refused, hits for none; misses: keys and vectors for which there was nothing;
            puts; evictions: entries that went to make room; expiries: entries whose time was over; tokens_saved: the costs of all
            entries that were hit, added up; rows: entries now; pinned: of them; spaces: pairs of tenant and model that have entries;
            bytes: of everything.
        """

@final
class Window:
    """A legal request under a budget, chosen from a History."""
    def __len__(self, /) -> int: ...
    @property
    def dropped(self, /) -> list[int]:
        """Indices of the messages of which nothing is kept, neither whole nor cut nor folded; ascending."""
    @property
    def messages(self, /) -> list:
        """The messages to send, a list of dicts in their old order.

        A message kept whole is the caller's own object; one that is cut or lost unanswered tool calls is a copy.
        """
    def report(self, /) -> Report:
        """Return the counts behind the choice, and what was repaired."""
    @property
    def reused_prefix_tokens(self, /) -> int:
        """Tokens of the leading messages that are also the history's leading ones, unchanged.

        What a provider's prompt cache that has seen the history can reuse. In a RollingWindow's view: tokens of the leading
        messages that are also those of its previous view.
        """
    @property
    def sources(self, /) -> list:
        """For each of `messages`, its index in the history; for a folded one, the list of indices it is made of."""
    @property
    def tokens(self, /) -> int:
        """Tokens of `messages`, exact; reply priming not included."""

def build_info() -> dict[str, str]:
    """Return how the compiled core was built and what it found on this machine.

    Returns:
        A new dict: `version` (str), `profile` ("debug", "release" or "dist"), `simd` (str: the best vector
        level this CPU offers the core: "avx512", "avx2", "neon" or "scalar").

    Cost: O(1).
    """

def compute_retain_ratio(used_mem_gb: float, total_mem_gb: float, *, slope: float = 0.5) -> float:
    """Return the share of a history to retain at a memory usage.

    Above 85 % usage it is 0.4, else `min(0.9, 0.4 + (0.85 - used / total) * slope)`: it never grows with usage. For readings
    that swing, see `RetainController`.

    Args:
        used_mem_gb: memory in use, in the unit of `total_mem_gb`; 0 or more, and it may exceed the total.
        total_mem_gb: memory there is, above 0.
        slope: ratio gained for each unit of usage under 0.85; 0 or more. At 0.5 the ratio runs without a jump from 0.825
            at no usage to 0.4 at 0.85; 0.9 is reached from slope 0.589 on.

    Returns:
        A share in 0.4..0.9, for `History.fit(retain_ratio=...)`.

    Raises:
        ArgumentError: an argument is no number, not finite or below 0, or the total is 0.

    Cost: O(1).

    Source: the article's rule, "above 85 %: 0.4, else min(0.9, 0.4 + (0.85 - usage) * 50)". Its prose says "+0.5 % per 1 %",
    which is slope 0.5, the default here. With slope 50, as in its formula, the ratio stays at 0.9 up to 84 % and falls to
    0.4 within the last per cent.

    Example:
        >>> round(rolecore.compute_retain_ratio(8, 16), 3)
        0.575
    """

def encode_snapshot(
    history: History | collections.abc.Iterable[dict[str, typing.Any]],
    *,
    session_id: str = ...,
    role: str = ...,
    summary: str | None = None,
    vectors: numpy.typing.ArrayLike | None = None,
    payload: typing_extensions.Buffer | None = None,
) -> bytes:
    """Return a session as bytes that `open_snapshot` reads in place.

    Args:
        history: a History, or an iterable of messages. What of a message has no field of its own is kept as JSON.
        session_id: the session's name.
        role: the role that the session is held with.
        summary: what turns that were left out come to.
        vectors: float32, shape (n, dim), or anything NumPy makes into it.
        payload: bytes of your own, or any buffer.

    Returns:
        The same bytes for the same arguments, in the FlatBuffers format; see docs/codecs.md.

    Raises:
        CodecError: a text has a lone surrogate, a message is not the same once it was JSON, or all would be 2 GiB or more.
        ArgumentError: an argument is of a wrong kind.

    Cost: O(bytes), each written once. Messages of a History that are one text, or calls of functions, are not looked at as Python objects.
    """

def encode_snapshot_buffers(
    history: History | collections.abc.Iterable[dict[str, typing.Any]],
    *,
    session_id: str = ...,
    role: str = ...,
    summary: str | None = None,
    vectors: numpy.typing.ArrayLike | None = None,
    payload: typing_extensions.Buffer | None = None,
) -> list[memoryview]:
    """Return the bytes of `encode_snapshot` in pieces, so that vectors and payload need not be copied to be sent or written to a file.

    Takes the arguments of `encode_snapshot`. What vectors and payload hold must stay as it is until the pieces were sent.

    Returns:
        Buffers of bytes, at most five and none of them empty, for `socket.sendmsg`, `os.writev` or `StreamWriter.writelines`. Those of float32
        vectors in C order, and of the payload, are views of what was given.

    Raises:
        CodecError, ArgumentError: as `encode_snapshot` does.

    Cost: O(bytes but for those of vectors and payload).
    """

def gate(text: str, cached_text: str) -> bool:
    """Return whether two questions that look alike may ask the same.

    Vectors tell what texts are about, not what they say of it: "enable" and "disable", 3 and 5, Oslo and Bergen, "from A to B"
    and "from B to A" are nearer to each other than many a paraphrase. This reads both texts and refuses what differs in
    negation, numbers, names, persons, codes, quotations, opposites, quantities, the question word or who does what to whom, and texts of
    nearly the same words where what differs is not known to say the same. It is the default `gate` of `SemanticCache`, and
    knows English and Chinese; of other languages only numbers, names, codes, order and nearly the same words.

    Args:
        text: what is asked now.
        cached_text: what was asked before. `gate(a, b) == gate(b, a)`.

    Returns:
        False where a difference was found; `gate_reason` tells which.

    Raises:
        ArgumentError: an argument is no str.

    Cost: some microseconds for two questions, O(length) for two equal texts. The GIL is held.

    Example:
        >>> import rolecore
        >>> rolecore.gate("How do I enable dark mode?", "How can I enable dark mode, please?")
        True
        >>> rolecore.gate("How do I enable dark mode?", "How do I disable dark mode?")
        False
    """

def gate_reason(text: str, cached_text: str) -> str | None:
    """Return why `gate` refuses two questions, None where it does not.

    Args:
        text: what is asked now.
        cached_text: what was asked before.

    Returns:
        "negation", "number", "name", "opposite", "quantity", "question", "order", "wording", or "length" for two long texts
        that differ in much.

    Raises:
        ArgumentError: an argument is no str.

    Cost: as `gate`.

    Example:
        >>> import rolecore
        >>> rolecore.gate_reason("Trains from Oslo to Bergen", "Trains from Bergen to Oslo")
        'order'
    """

def nearest(
    cache: VectorCache, vector: numpy.typing.ArrayLike, threshold: float, *, tenant: str, model_id: str
) -> Hit | None:
    """Return what `cache.lookup` returns, counted in nothing: `settle` does that."""

def open_batch(path: str | os.PathLike[str]) -> Batch:
    """Open a batch file: nothing is copied, and only what is asked for is read.

    What a writer appends afterwards is not seen: open the file again.

    Args:
        path: of the file.

    Raises:
        OSError: it cannot be read; FileNotFoundError: there is none.
        CodecError: it is no batch file, a newer one, or one that something else than a crash has damaged.
        ArgumentError: `path` is no path.

    Cost: the same for any size, without the GIL. After a crash, or while somebody writes: the header of each snapshot, and all bytes
    appended since the last flush. A file that is cut while it is mapped ends the process, as with any mmap; writers never do that.
    """

def open_snapshot(buffer: typing_extensions.Buffer, *, copy: bool | None = None) -> Snapshot:
    """Open a snapshot where it is: nothing is copied, and only what is asked for is read.

    Args:
        buffer: what `encode_snapshot` returned: bytes, a memoryview, an mmap, any buffer of contiguous bytes.
        copy: whether to copy it first. None: where it can be written to, since what is read must not change.

    Raises:
        CodecError: it is no snapshot, or one of a newer version. What is damaged elsewhere is found when it is read, or by `verify`.
        ArgumentError: it is no such buffer.

    Cost: the same for any size, unless it is copied. The buffer is held as long as anything that came out of it. A file that is
    cut while it is mapped ends the process, as with any mmap.
    """

def plan_turn(
    history: History,
    unread: list[dict[str, typing.Any]],
    messages: list[dict[str, typing.Any]],
    instructions: str,
    query: str,
    most_tokens: int,
    keep_last: int,
    unit: str,
    retain: RetainController | None,
    reading: tuple[float, float] | None,
    is_short: bool,
    embedder: typing.Any,
    lookup: tuple[VectorCache, str, numpy.typing.ArrayLike, float, str, str] | None,
) -> tuple[tuple[str, str, float] | None, list[dict[str, typing.Any]], int, int, int, str | None, int]:
    """Append what is new to a history, look an answer up, and choose the window if there is none: all that a turn needs, in one call.

    Use `rolecore.ContextBudget` and `rolecore.run_turn`.

    Args:
        history: what was said before.
        unread: messages that the history lacks; they are appended to it and taken out of this list, all or none.
        messages: the new message, or the results of all calls that wait and at most one message after them. They are not appended.
        instructions: what goes before all else, as a message of the role system; "" for none.
        query: what they are about; "" for nothing.
        most_tokens: most tokens of the request, with the new messages and the instructions.
        keep_last: newest turns that must stay, a new message of the user's counted.
        unit: as in `History.fit`.
        retain: whose ratio of `most_tokens` is the budget, unless what must stay needs more; None: all of it.
        reading: of memory, for `retain`: used and limit; None: there is no new one.
        is_short: whether what is left out is summarised, and nothing embedded.
        embedder: as in `History.fit`.
        lookup: None, or a cache, the question's key and vector, the threshold, the tenant and the model_id.

    Returns:
        The answer that was found, as (stage, answer, cost of the entry), or None; the messages before the last of the new ones, which
        are none with an answer; tokens of the request; tokens of history, new messages and instructions; how many messages of the
        history are left out; the summary's text, or None; the budget.

    Raises:
        MessageError, BudgetError, ArgumentError: as `History.fit`. CacheError: the look-up failed; the history has what was new.
    """

def put_new(cache: VectorCache, key: str, vector: numpy.typing.ArrayLike, *, tenant: str, model_id: str) -> None:
    """Put a vector in without a value, unless its key has an entry."""

def read_memory(kind: str, root: str) -> tuple[int, int, int | None, float | None, str]:
    """Return one reading: used bytes, limit bytes, resident bytes, pressure and what was read.

    Use `rolecore.MemoryProbe`, which names these values.

    Args:
        kind: "auto", "cgroup" or "meminfo".
        root: directory that every path is taken below.

    Raises:
        ArgumentError: the kind is unknown, or its files are missing or cannot be made sense of.

    Cost: about ten small files; the GIL is released.
    """

def rss_bytes(root: str) -> int | None:
    """Return this process's resident bytes; None where /proc does not say.

    Args:
        root: directory that /proc is taken below.

    Cost: one small file; the GIL is released.
    """

def settle(cache: VectorCache, hit: Hit | None, *, is_refused: bool = False) -> None:
    """Count what came of a search: a use of `hit`, or, without one, that what was found is refused, or that nothing was found."""

def tokenizer(name_or_path: str | os.PathLike[str], /) -> Tokenizer:
    """Return the tokenizer of an encoding, a model or a tokenizer.json file.

    Nothing is ever downloaded. The vocabularies of OpenAI's chat models are in the package and unpacked at first use; for other
    models give the tokenizer.json that comes with them.

    Args:
        name_or_path: "o200k_base", "cl100k_base" or "o200k_harmony"; an OpenAI model's name, as "gpt-4o"; or the path of a
            byte-level BPE tokenizer.json (GPT-2, Llama 3, Qwen, DeepSeek).

    Returns:
        A Tokenizer; the same vocabulary in memory for each use of a name, a new one for each path.

    Raises:
        TokenizerError: the name is unknown, or the file is damaged or cannot be counted exactly; the message says why.
        ArgumentError: `name_or_path` is neither a string nor a path.
        OSError: the file cannot be read.

    Cost: O(1) for a name after its first use; the GIL is released while a vocabulary is built.

    Example:
        >>> rolecore.tokenizer("gpt-4o").name
        'o200k_base'
    """
