"""Made-up chats in English and Chinese, short and long turns, with tool calls and without, to plant things in."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chats import Message

# What people say: facts, feelings, questions, thanks, stories. No orders, but the words of orders that only tell.
ENGLISH = """
I went to the harbour with {who} on {day} and we watched the ferries for two hours.
That sounds lovely, how was the weather over there?
My sister moved to {place} in March and she still misses the old kitchen.
Thanks, that helps a lot!
I paid {n} euros for the repair of the bicycle, which is more than it cost me.
Do you think the yellow paint would suit the hall?
We had soup with beans and a little too much pepper, and {who} laughed about it.
I am reading a book about lighthouses, it is called "The Long Lamp".
The meeting on {day} was moved to room {n} because the projector broke.
Oh, I don't know yet, maybe later this week.
It must have been a strange feeling to see the house again.
{who} and I learned to bake bread last winter, and the first loaf was like a stone.
What would you do with the empty room upstairs?
I like walking home through the park, it takes {n} minutes.
The train to {place} leaves at 08:{n} and the tickets are in my bag.
They do not sell that tea any more, so I bought another kind.
You must be so happy about the garden!
Great, let me know how it goes.
Our neighbour plays the cello on {day} evenings, mostly slow pieces.
The report has {n} pages and the third chapter is about water pumps.
Is there a good place to eat near the station?
I've never been to {place}, but {who} says the market there is worth the trip.
In the end we sold {n} lanterns at the fair and kept the blue one.
Good morning! Did you sleep well?
My phone number changed, the last digits are {n}{n}.
The doctor told me to rest the knee for {n} days and then to start slowly.
""".strip().splitlines()

CHINESE = """
上个{day}我和{who}去了{place}，在河边走了两个小时。
听起来真不错，那边的天气怎么样？
我姐姐三月份搬到了{place}，她还是想念以前的厨房。
谢谢你，这对我帮助很大！
我花了{n}块钱修自行车，比买的时候还贵。
你觉得走廊刷成黄色好看吗？
我们喝了豆子汤，胡椒放得有点多，{who}笑了半天。
我最近在看一本关于灯塔的书，叫《长灯》。
{day}的会议改到了{n}号房间，因为投影仪坏了。
我还不知道呢，可能这周晚些时候吧。
再次看到老房子，心里一定很特别吧。
去年冬天{who}教我烤面包，第一个硬得像石头。
楼上那间空房间你打算怎么用？
我喜欢穿过公园走回家，大概要{n}分钟。
去{place}的火车八点{n}分开，票在我的包里。
那种茶已经没有卖了，所以我买了另外一种。
你一定为你的花园感到高兴！
好的，有消息告诉我。
我们的邻居{day}晚上拉大提琴，多半是慢的曲子。
报告一共{n}页，第三章讲的是水泵。
车站附近有好吃的地方吗？
我从来没有去过{place}，不过{who}说那里的市场值得一去。
最后我们在集市上卖了{n}个灯笼，留下了蓝色的那个。
早上好！昨晚睡得好吗？
我的电话号码换了，最后几位是{n}{n}。
医生让我的膝盖休息{n}天，然后慢慢开始活动。
""".strip().splitlines()

WHO = {"en": ["Ana", "Ben", "Mira", "Tom"], "zh": ["小林", "阿梅", "老周", "晓红"]}
PLACE = {"en": ["Oslo", "Lisbon", "Graz", "Leeds"], "zh": ["杭州", "昆明", "厦门", "青岛"]}
DAY = {"en": ["Monday", "Thursday", "Saturday"], "zh": ["周一", "周四", "周六"]}


@dataclass(frozen=True)
class Style:
    """How a chat is written: in "en", "zh" or "both", with how many sentences of user and assistant at once."""

    language: str
    user: tuple[int, int]
    assistant: tuple[int, int]


STYLES = {
    "short": ((1, 2), (1, 2)),
    "long answers": ((1, 2), (6, 14)),
    "long turns": ((5, 9), (5, 9)),
    "long briefs": ((8, 14), (1, 3)),
}


def style(name: str, language: str) -> Style:
    return Style(language, *STYLES[name])


def sentence(draw: random.Random, language: str) -> str:
    if language == "both":
        language = draw.choice(["en", "zh"])
    said = draw.choice(ENGLISH if language == "en" else CHINESE)
    chosen = {"who": WHO[language], "place": PLACE[language], "day": DAY[language]}
    return said.format(n=draw.randint(11, 59), **{what: draw.choice(names) for what, names in chosen.items()})


def turn(draw: random.Random, how: Style, role: str) -> list[str]:
    """The sentences of one turn."""
    least, most = how.user if role == "user" else how.assistant
    return [sentence(draw, how.language) for _ in range(draw.randint(least, most))]


def chat(seed: int, how: Style, *, planted: dict[int, str], n_messages: int = 60) -> list[Message]:
    """Make a chat of users and assistants in turn, with sentences planted in messages of those numbers."""
    draw = random.Random(seed)  # noqa: S311  no secrets here
    messages: list[Message] = []
    for i in range(n_messages):
        role = ("user", "assistant")[i % 2]
        said = turn(draw, how, role)
        if i in planted:
            # Who ends a sentence without a mark goes on in a new line.
            end = "" if planted[i].endswith(tuple(".!。！")) else "\n"
            said.insert(draw.randint(0, len(said)), planted[i] + end)
        messages.append({"role": role, "content": " ".join(said)})
    return messages


def with_calls(messages: list[Message], seed: int, *, share: float) -> list[Message]:
    """Put a tool call and its result after a share of the users' messages."""
    draw = random.Random(seed)  # noqa: S311  no secrets here
    longer: list[Message] = []
    for i, message in enumerate(messages):
        longer.append(message)
        if message["role"] == "user" and draw.random() < share:
            arguments = json.dumps({"order_id": f"ORD-{draw.randint(1000, 9999)}", "name": draw.choice(WHO["en"])})
            function = {"name": "look_up", "arguments": arguments}
            asked = [{"id": f"call{i}", "type": "function", "function": function}]
            found = [order(draw) for _ in range(draw.randint(1, 6))]
            longer.append({"role": "assistant", "content": None, "tool_calls": asked})
            longer.append({"role": "tool", "tool_call_id": f"call{i}", "content": json.dumps(found)})
    return longer


def order(draw: random.Random) -> Message:
    """A record as a shop's tool returns it."""
    items = [{"sku": f"SKU{draw.randint(100, 999)}", "note": sentence(draw, "en")} for _ in range(draw.randint(1, 3))]
    return {"id": f"ORD-{draw.randint(1000, 9999)}", "total": draw.randint(10, 900), "items": items}
