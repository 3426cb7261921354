"""What a user forbids or demands stands in every window, word for word, however little else fits."""

from __future__ import annotations

import itertools
import random

import pytest
from small_talk import STYLES, Style, chat, style, with_calls

import rolecore

SHARE = 0.2
N_MESSAGES = (60, 60, 160, 24, 60)

# One a line, as users write them.
WRITTEN = """
Never book anything before nine.
Please never call me at work.
You must never share my address with the hotel.
Do not delete the old backups.
Please do not use my work email for this.
Do NOT merge without a review.
Don't tell Ana about the party.
don't touch the billing table
Please don't send the invoice twice.
And don’t ever write to production.
You must not mention the merger.
You must ask me before you pay for anything.
The summary must be in French.
All answers must be shorter than fifty words.
It must not cost more than 300 euros.
We must keep the receipts until June.
Payments to that account are forbidden.
Smoking in the rental is strictly prohibited.
The files mustn't leave the company network.
By the way, never use sugar, I am diabetic.
Also: do not run migrations on Fridays!
I said it before, never reply to that address.
For legal reasons you must not store card numbers.
If the tests fail, do not deploy.
When you write to Tom, don't mention the price.
Just never, ever restart the server at noon.
不要给我妈妈打电话。
请不要在群里提我的工资。
千万不要删除旧的备份。
以后不要用“您”称呼我。
必须先问我再付款。
所有回答必须用中文。
总价必须低于三百块。
禁止把数据上传到外网。
房间里禁止吸烟。
任何人不得修改合同的第三条。
未经同意不得联系客户。
周五不准上线新版本。
这件事不许告诉小林。
切勿把密码写在邮件里。
出发之前务必检查护照。
严禁在生产库上做测试。
如果测试没有通过，就不要发布。
我对花生过敏，菜里不要放花生。
**Do not** push to main.
DON'T CALL ME.
1. Do not use tabs.
Rule: never quote a price.
Thanks, but don't call back.
That said, please, do not share it.
I know it is late, but do not forget the keys.
I do not mind, but do not tell Ben.
You and Tom must not meet before June.
Must not contain nuts.
The hotel must have a pool.
That must never happen again.
do not, under any circumstance, email the board
I've never agreed to that, so don't charge me.
You should never share it.
请不要——真的不要——提前公布。
请务必，务必带上身份证。
这里禁止拍照，请注意。
您必须在周五之前回复
规定：不得携带宠物入内
永远不要相信那个网站。
他不要的东西不要扔。
Don't book anything before nine, okay?
不要删除备份，好吗？
You must have the form signed.
You must really ask me first.
Please do *not* reply to all.
You cannot use my card for that.
You can't share this with the client.
You should not call him.
You may not change the contract.
It is not allowed to park there.
Under no circumstances share the list.
Dont call me at night.
别给我妈妈打电话。
千万别删除备份。
不允许修改合同。
请勿打扰。
""".strip().splitlines()


ENGLISH_ACTS = """
share the guest list|book a hotel near the airport|change the opening hours|use the red template|write to the landlord|
delete the photos from May|pay by bank transfer|quote the draft report|restart the build server|order shellfish
""".replace("\n", "").split("|")
CHINESE_ACTS = """
公开客人名单|预订机场附近的酒店|修改营业时间|使用红色模板|联系房东|删除五月的照片|用银行转账付款|引用报告草稿|重启构建服务器|点海鲜
""".strip().split("|")

ENGLISH_FORMS = """
Never {}.|Please never {} again.|Do not {}.|Please do not {}, whatever happens.|Don't {}.|But please don't {}!|
You must not {}.|You must {} first.|We must never {}.|From now on you must {} weekly.|OK so, do not {} before June.
""".replace("\n", "").split("|")
CHINESE_FORMS = """
不要{}。|请不要{}。|千万不要再{}了！|你必须{}。|以后必须先{}。|禁止{}。|任何情况下都不得{}。|不准{}。|不许{}！|切勿{}。|请务必{}。|严禁{}。
""".strip().split("|")

GENERATED = [
    form.format(act)
    for forms, acts in ((ENGLISH_FORMS, ENGLISH_ACTS), (CHINESE_FORMS, CHINESE_ACTS))
    for form, act in itertools.product(forms, acts)
]


def keeps(
    said: dict[int, str],
    seed: int,
    how: Style,
    *,
    n: int = 60,
    calls: float = 0.0,
    unit: str,
    keep_last: int,
    query: str | None = None,
) -> bool:
    """Whether a window of a fifth of a chat still holds all that was said, each in its own message."""
    talk = chat(seed, how, planted=said, n_messages=n)
    messages = with_calls(talk, seed, share=calls)
    history = rolecore.History(messages)
    window = history.fit(int(history.tokens * SHARE), unit=unit, keep_last=keep_last, query=query)
    kept = {i: m["content"] for i, m in zip(window.sources, window.messages, strict=True)}
    assert window.tokens <= history.tokens * SHARE
    places = {i: next(at for at, m in enumerate(messages) if m is talk[i]) for i in said}
    return all(text in kept.get(places[i], "") for i, text in said.items())


def lost(
    texts: list[str], *, unit: str, keep_last: int, calls: float = 0.0, query: str | None = None
) -> list[tuple[str, str, str]]:
    """Which of the texts are not in the window, in chats of each style and language."""
    draw = random.Random(1)  # noqa: S311  no secrets here
    styles = itertools.cycle(itertools.product(STYLES, ("en", "zh", "both")))
    found = []
    for seed, (text, (name, language)) in enumerate(zip(texts, styles, strict=False)):
        n = N_MESSAGES[seed % len(N_MESSAGES)]
        at = 2 * draw.randrange(n // 2 - 1)
        how = style(name, language)
        if not keeps({at: text}, seed, how, n=n, calls=calls, unit=unit, keep_last=keep_last, query=query):
            found.append((text, name, language))
    return found


@pytest.mark.parametrize("keep_last", [0, 1])
@pytest.mark.parametrize("unit", ["message", "sentence"])
def test_fit_written_prohibition_stands_in_the_window(unit: str, keep_last: int) -> None:
    assert len(WRITTEN) >= 40
    every_way = [text for text in WRITTEN for _ in range(12)]
    assert lost(every_way, unit=unit, keep_last=keep_last) == []


@pytest.mark.parametrize("keep_last", [0, 1])
@pytest.mark.parametrize("unit", ["message", "sentence"])
def test_fit_generated_prohibition_stands_in_the_window(unit: str, keep_last: int) -> None:
    assert len(GENERATED) >= 200
    assert lost(GENERATED, unit=unit, keep_last=keep_last) == []


@pytest.mark.parametrize("calls", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("unit", ["message", "sentence"])
def test_fit_prohibition_among_tool_calls_stands_in_the_window(unit: str, calls: float) -> None:
    assert lost([*WRITTEN, *GENERATED[::3]], unit=unit, keep_last=0, calls=calls) == []


@pytest.mark.parametrize("keep_last", [0, 1])
@pytest.mark.parametrize("unit", ["message", "sentence"])
def test_fit_several_prohibitions_all_stand_in_the_window(unit: str, keep_last: int) -> None:
    draw = random.Random(2)  # noqa: S311  no secrets here
    for seed, (name, language) in enumerate(itertools.product(STYLES, ("en", "zh", "both"))):
        said = dict(zip(draw.sample(range(0, 58, 2), 4), draw.sample(WRITTEN, 4), strict=True))
        assert keeps(said, seed, style(name, language), unit=unit, keep_last=keep_last), (said, name, language)


@pytest.mark.parametrize(
    "query", ["What did we say about the hotel?", "周末的天气怎么样？", "When does order A-1042 arrive?"]
)
@pytest.mark.parametrize("unit", ["message", "sentence"])
def test_fit_prohibition_stands_in_the_window_whatever_is_asked(unit: str, query: str) -> None:
    assert lost([*WRITTEN, *GENERATED[::2]], unit=unit, keep_last=0, query=query) == []
