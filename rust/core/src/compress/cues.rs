//! Which words tell that a message states a fact: when, how many, what happened, who says it of themselves.
//!
//! Plain vocabulary of English and Chinese, looked up once for each new word of a history, so a list's length costs nothing a
//! message. A Chinese word of two characters is met as a pair (see `words.rs`).

use std::sync::OnceLock;

use hashbrown::HashMap;

/// A set of the kinds below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cues(u64);

impl Cues {
    /// Too common to say anything; never a term.
    pub(crate) const STOP: Self = Self(1);
    /// A relative or calendar time.
    pub(crate) const TIME: Self = Self(1 << 1);
    /// The speaker speaks of themselves.
    pub(crate) const FIRST_PERSON: Self = Self(1 << 2);
    /// A preference or a plan.
    pub(crate) const PREFERENCE: Self = Self(1 << 3);
    /// Opens small talk.
    pub(crate) const PLEASANTRY: Self = Self(1 << 4);
    /// A number: a digit, or one with what it counts as one Chinese pair.
    pub(crate) const NUMBER: Self = Self(1 << 5);
    /// Tells what something is called.
    pub(crate) const NAMING: Self = Self(1 << 6);
    /// Fills a pause of somebody who speaks.
    pub(crate) const FILLER: Self = Self(1 << 7);
    /// Thanks and welcomes, as a meeting's chair does.
    pub(crate) const THANKS: Self = Self(1 << 8);
    /// A need or a duty.
    pub(crate) const NEED: Self = Self(1 << 9);
    /// Forbids or demands by itself: "never", "must", 不要, 必须.
    pub(crate) const PROHIBITION: Self = Self(1 << 10);
    /// Forbids after "do", or contracted with it: "do not", "don't".
    pub(crate) const NOT: Self = Self(1 << 11);
    /// "do".
    pub(crate) const DO: Self = Self(1 << 12);
    /// Somebody of whom something is told: "I don't" forbids nothing.
    pub(crate) const SUBJECT: Self = Self(1 << 13);
    /// "must": a demand, or a guess as in "that must be hard".
    pub(crate) const MUST: Self = Self(1 << 21);
    /// Somebody or something about whom one may guess.
    pub(crate) const GUESSED: Self = Self(1 << 22);
    /// "be", which opens a guess behind "must".
    pub(crate) const BE: Self = Self(1 << 23);
    /// Words that strengthen: a guess or a demand.
    pub(crate) const GUESSING: Self = Self(1 << 24);
    /// "have", which opens a guess behind "must" more often than a demand.
    pub(crate) const HAVE: Self = Self(1 << 33);
    /// "feel", which makes it a guess.
    pub(crate) const FEEL: Self = Self(1 << 34);
    /// An article: "a must" is a noun.
    pub(crate) const ARTICLE: Self = Self(1 << 25);
    /// "never".
    pub(crate) const NEVER: Self = Self(1 << 26);
    /// Of a sentence: it holds an identifier.
    pub(crate) const IDENTIFIER: Self = Self(1 << 27);
    /// "you".
    pub(crate) const YOU: Self = Self(1 << 28);
    /// What "you" before it and "not" behind it make an order: "should", "may", "can".
    pub(crate) const MODAL: Self = Self(1 << 29);
    /// An order where nothing comes before it: "dont", 别.
    pub(crate) const OPENS_ORDER: Self = Self(1 << 30);
    /// An order behind "not": "allowed".
    pub(crate) const ALLOWED: Self = Self(1 << 31);
    /// Of a sentence: an order with a mere tag behind it, as "okay?".
    pub(crate) const ORDER_FIRST: Self = Self(1 << 32);
    /// Of a term: says what kind of answer is wanted, or to whom, rather than what about.
    pub(crate) const REQUEST: Self = Self(1 << 35);
    /// Of a term: too vague or too common a praise to be a fact.
    pub(crate) const NO_FACT: Self = Self(1 << 14);
    /// Of a term: too common to be a topic.
    pub(crate) const NO_TOPIC: Self = Self(1 << 15);
    /// Of a sentence: it asks.
    pub(crate) const QUESTION: Self = Self(1 << 16);
    /// Of a sentence: small talk opens it.
    pub(crate) const OPENS_POLITELY: Self = Self(1 << 17);
    /// Of a sentence: the first of its message.
    pub(crate) const FIRST_SENTENCE: Self = Self(1 << 18);
    /// Of a sentence: the last of several of its message.
    pub(crate) const LAST_SENTENCE: Self = Self(1 << 19);
    /// Of a sentence: the message before it ended with a question.
    pub(crate) const ANSWER: Self = Self(1 << 20);

    /// Kinds of words that may make a sentence an order.
    pub(crate) const ORDERING: Self = Self(
        Self::PROHIBITION.0
            | Self::MUST.0
            | Self::NEVER.0
            | Self::OPENS_ORDER.0
            | Self::ALLOWED.0
            | Self::MODAL.0
            | Self::NOT.0,
    );

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The kinds of one lower-case word or pair.
    pub(crate) fn of(word: &str) -> Self {
        let mut cues = table().get(word).copied().unwrap_or_default();
        if !word.is_ascii() {
            cues.add(Self::of_pair(word));
        }
        cues
    }

    /// The kinds that a single Chinese character decides.
    fn of_pair(word: &str) -> Self {
        let mut cues = Self::default();
        let mut chars = word.chars();
        let (first, second) = (chars.next(), chars.next());
        for c in [first, second].into_iter().flatten() {
            match c {
                '我' => cues.add(Self::FIRST_PERSON),
                '叫' => cues.add(Self::NAMING),
                _ => {}
            }
        }
        if first == Some('别') && second.is_some_and(|second| !"的人说处名样墅".contains(second)) {
            cues.add(Self::OPENS_ORDER);
        }
        if let (Some(number), Some(measure)) = (first, second)
            && "零一二三四五六七八九十百千万亿两".contains(number)
            && "个年月日号天次岁块元点位人家种倍成万亿".contains(measure)
        {
            cues.add(Self::NUMBER);
        }
        if word.chars().all(|c| STOP_CHARACTERS.contains(c)) {
            cues.add(Self::STOP);
        }
        cues
    }
}

/// A pair of these two, or one of these alone, says nothing.
const STOP_CHARACTERS: &str = "的了是我你他她它们在有和就不也都这那啊吗呢吧嗯哦呀嘛与及或但而所以因为如果很还又再会能要说对得地着过给把被让从到于之其个";

const LISTS: [(Cues, &str); 31] = [
    (
        Cues::STOP,
        "a an the and or but if then than so as of at by for with about into to from up down in out on off over under \
         i me my mine we us our ours you your yours he him his she her hers it its they them their theirs this that these \
         those is am are was were be been being have has had having do does did doing done will would shall should can could \
         may might must no not nor only own same too very just also there here when where why how what which who whom \
         all any both each few more most other some such s t d ll m re ve don didn doesn isn wasn aren couldn wouldn \
         get got let really well because while until again once now like one yeah oh ok okay",
    ),
    (
        Cues::TIME,
        "yesterday today tomorrow tonight last next ago weekend weekends day days week weeks month months year years hour \
         hours minute minutes morning mornings evening evenings afternoon since recently until deadline noon midnight \
         monday tuesday wednesday thursday friday saturday sunday january february march april june july august september \
         october november december spring summer autumn winter \
         昨天 前天 今天 明天 后天 最近 上周 下周 上个 下个 去年 今年 明年 周末 星期 刚刚 之前 以前 年底 月底 日前 小时 分钟 早上 \
         晚上 下午 上午 中午 月份 截止",
    ),
    (Cues::FIRST_PERSON, "i me my mine we our us im ive"),
    (
        Cues::PREFERENCE,
        "like love loves hate hates prefer prefers favorite favourite enjoy enjoys want wants wish hope plan plans allergic \
         dream interested always 喜欢 讨厌 爱好 希望 打算 计划 想要 最爱 推荐 过敏",
    ),
    (
        Cues::PLEASANTRY,
        "hey hi hello wow thanks thank great awesome cool nice yeah yep yes sure okay ok right mm uh um oh sounds congrats \
         congratulations good welcome bye absolutely definitely exactly glad sorry lovely amazing wonderful \
         你好 您好 谢谢 感谢 不用 不客 好的 没问 没关 是的 是吧 对对 对啊 嗯嗯 哈哈 再见 当然 非常 很高 太好 真的 明白 了解 可以 \
         加油 希望 祝你 祝您",
    ),
    (Cues::NAMING, "named called nickname name 名字"),
    (Cues::FILLER, "um uh 然后 对吧 是吧 的话 这个 那个"),
    (Cues::THANKS, "thank thanks welcome 谢谢 感谢 掌声 欢迎 辛苦"),
    (Cues::NEED, "should need needs must ought require 应该 需要 必须 要求"),
    (
        Cues::PROHIBITION,
        "mustn forbidden prohibited circumstances 不要 必须 禁止 不得 不准 不许 切勿 请勿 务必 严禁 万别 不允",
    ),
    (Cues::NEVER, "never"),
    (Cues::ARTICLE, "a an the"),
    (Cues::MUST, "must"),
    (Cues::GUESSED, "that this it there you he she they these those"),
    (Cues::BE, "be"),
    (Cues::GUESSING, "so really very such quite pretty"),
    (Cues::HAVE, "have"),
    (Cues::FEEL, "feel"),
    (Cues::NOT, "not don cannot"),
    (Cues::YOU, "you"),
    (Cues::MODAL, "should may can shouldn cannot"),
    (Cues::OPENS_ORDER, "dont"),
    (Cues::ALLOWED, "allowed permitted"),
    (Cues::DO, "do"),
    (Cues::SUBJECT, "i you we they he she it who people"),
    (
        Cues::STOP,
        "不是 没有 什么 我们 你们 他们 自己 这个 那个 可以 就是 一个 时候 怎么 因为 所以 但是 如果 还是 已经 觉得",
    ),
    (
        Cues::NO_FACT,
        "think know mean want thing kind sort bit lot people say said come make made take see look use good way right actually \
         maybe probably something anything everything someone anyway sure quite much many going gonna guess need still even back \
         first two go went put tell talk ask time",
    ),
    // Praise, feeling and encouragement: what chats are full of and later questions do not ask for.
    (
        Cues::NO_FACT,
        "amazing awesome great wonderful beautiful inspiring happy glad excited exciting proud important special feel feeling fun \
         nice cool lovely fantastic incredible impressive interesting best better perfect super truly absolutely definitely \
         totally hard tough difficult easy crazy rewarding meaningful powerful peaceful calming relaxing helpful supportive \
         support passion positive strong strength brave courage joy happiness hope luck lucky appreciate grateful thankful \
         excellent stunning gorgeous delicious enjoy unique creative motivate encourage bring life world experience moment \
         journey keep forward share together always look sound seem heart stuff",
    ),
    (
        Cues::NO_TOPIC,
        "然后 其实 就是 这样 那么 那种 这种 一些 一种 对吧 是吧 的话 可能 应该 比较 非常 很多 大家 觉得 来说 还有 以及 里面 现在 \
         东西 事情 方面 情况 知道 看到 一下 或者 包括 比如 当中 之后 整个 当时 特别 所有 不同 其他 部分 时间 一点 有些 不会 一定 \
         也是 都是 也有 也会 基本 过程 通过 进行 一直 可是 只是 只有 真的 有没",
    ),
    (
        Cues::REQUEST,
        "summarize summarise summary discuss discussion describe mention say said tell told talk think thought feel felt explain \
         suggest opinion view attitude regard concern accord content comment people person team group thing something someone \
         kind type time much many long often ever main during \
         哪些 哪个 哪里 如何 怎样 为何 多少 曾经 是否 记得 还记 告诉 提到 提过 聊过 说过 关于 一下 介绍 讨论 总结 看法 分享 哪一 几个 是谁",
    ),
    (
        Cues::NO_TOPIC,
        "开心 高兴 有趣 美好 感觉 精彩 快乐 幸福 很好 不错 优秀 努力 支持 鼓励 理解 帮助 尝试 享受 放松 心情 保持 积极 自信 相信 \
         能够 需要 一起 分享 感受 感到 重要 更好 加油 希望",
    ),
];

/// The lists as one table, built when the first word is learnt.
fn table() -> &'static HashMap<&'static str, Cues> {
    static TABLE: OnceLock<HashMap<&'static str, Cues>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table: HashMap<&'static str, Cues> = HashMap::new();
        for (kind, list) in LISTS {
            for word in list.split_ascii_whitespace() {
                // What is told of a term is told of its stem.
                let key = if kind == Cues::NO_FACT || kind == Cues::REQUEST { stem(word) } else { word };
                table.entry(key).or_default().add(kind);
            }
        }
        table
    })
}

/// Cuts the ends that English inflection puts on a word, so that `booked`, `books` and `booking` meet.
///
/// Lighter than Porter's: only plural, -ed, -ing, -ly and a final e, and never below three letters. Words with a digit and
/// words of other scripts stay whole.
pub(crate) fn stem(word: &str) -> &str {
    if word.len() < 4 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return word;
    }
    let keep_three = |stem: &'static str| word.strip_suffix(stem).filter(|rest| rest.len() >= 3);
    let base = if word.ends_with("ss") {
        word
    } else if let Some(rest) = keep_three("ies").or_else(|| keep_three("ied")) {
        return rest;
    } else {
        keep_three("ing")
            .or_else(|| keep_three("ed"))
            .or_else(|| keep_three("ly"))
            .or_else(|| keep_three("es"))
            .or_else(|| keep_three("s"))
            .unwrap_or(word)
    };
    base.strip_suffix(['e', 'y']).filter(|rest| rest.len() >= 3).unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inflections_of_a_word_meet() {
        for family in [
            ["book", "books", "booked", "booking"],
            ["city", "cities", "city", "city"],
            ["move", "moved", "moves", "moving"],
        ] {
            for word in family {
                assert_eq!(stem(word), stem(family[0]), "{word}");
            }
        }
    }

    #[test]
    fn short_numbered_and_foreign_words_stay_whole() {
        for word in ["as", "bus", "3days", "été", "class", "北京"] {
            assert_eq!(stem(word), word);
        }
    }

    #[test]
    fn cues_are_found_in_both_languages() {
        assert!(Cues::of("yesterday").has(Cues::TIME) && Cues::of("昨天").has(Cues::TIME));
        assert!(Cues::of("我在").has(Cues::FIRST_PERSON) && Cues::of("三天").has(Cues::NUMBER));
        assert!(Cues::of("的了").has(Cues::STOP) && !Cues::of("北京").has(Cues::STOP));
        assert_eq!(Cues::of("lantern"), Cues::default());
    }
}
