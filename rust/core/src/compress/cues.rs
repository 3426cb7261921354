//! Which words tell that a message states a fact: when, how many, what happened, who says it of themselves.
//!
//! Plain vocabulary of English and Chinese, looked up once for each new word of a history, so a list's length costs nothing a
//! message. A Chinese word of two characters is met as a pair (see `words.rs`).

use std::sync::OnceLock;

use hashbrown::HashMap;

/// A set of the kinds below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cues(u16);

impl Cues {
    /// Too common to say anything; never a term.
    pub(crate) const STOP: Self = Self(1);
    /// A relative or calendar time.
    pub(crate) const TIME: Self = Self(1 << 1);
    /// Something happened or was decided.
    pub(crate) const EVENT: Self = Self(1 << 2);
    /// The speaker speaks of themselves.
    pub(crate) const FIRST_PERSON: Self = Self(1 << 3);
    /// The speaker speaks of the other.
    pub(crate) const SECOND_PERSON: Self = Self(1 << 4);
    /// A preference or a plan.
    pub(crate) const PREFERENCE: Self = Self(1 << 5);
    /// Opens small talk.
    pub(crate) const PLEASANTRY: Self = Self(1 << 6);
    /// A number: a digit, or one with what it counts as one Chinese pair.
    pub(crate) const NUMBER: Self = Self(1 << 7);
    /// Forbids or demands by itself: "never", "must", 不要, 必须.
    pub(crate) const PROHIBITION: Self = Self(1 << 8);
    /// Forbids after a form of "do", or contracted with it: "do not", "don't".
    pub(crate) const NOT: Self = Self(1 << 9);
    /// "do".
    pub(crate) const DO: Self = Self(1 << 10);
    /// Of a sentence: it asks.
    pub(crate) const QUESTION: Self = Self(1 << 11);
    /// Of a sentence: small talk opens it.
    pub(crate) const OPENS_POLITELY: Self = Self(1 << 12);
    /// Of a sentence: the first of its message.
    pub(crate) const FIRST_SENTENCE: Self = Self(1 << 13);

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
                '你' | '您' => cues.add(Self::SECOND_PERSON),
                _ => {}
            }
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

const LISTS: [(Cues, &str); 11] = [
    (
        Cues::STOP,
        "a an the and or but if then than so as of at by for with about into to from up down in out on off over under \
         i me my mine we us our ours you your yours he him his she her hers it its they them their theirs this that these \
         those is am are was were be been being have has had having do does did doing done will would shall should can could \
         may might must not no nor only own same too very just also there here when where why how what which who whom \
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
    (
        Cues::EVENT,
        "started finished went got bought joined signed made took gave won lost visited tried met moved named called became \
         decided changed found learned learnt built wrote sold left came told sent paid booked cancelled canceled received \
         broke fixed began chose picked attended created adopted passed failed planned agreed ordered returned died born \
         married retired hired fired opened closed arrived flew drove \
         买了 去了 参加 开始 完成 看了 读了 学了 决定 换了 搬到 加入 毕业 获得 得到 叫做 名叫 收到 发了 找到 认识 取消 预订 支付 \
         出生 结婚 同意 修改",
    ),
    (Cues::FIRST_PERSON, "i me my mine we our us im ive"),
    (Cues::SECOND_PERSON, "you your yours"),
    (
        Cues::PREFERENCE,
        "love loves hate hates prefer prefers favorite favourite enjoy enjoys want wants wish hope plan plans allergic \
         dream interested always 喜欢 讨厌 爱好 希望 打算 计划 想要 最爱 推荐 过敏",
    ),
    (
        Cues::PLEASANTRY,
        "hey hi hello wow thanks thank great awesome cool nice yeah yep yes sure okay ok right mm uh um oh sounds congrats \
         congratulations good welcome bye absolutely definitely exactly glad sorry lovely amazing wonderful \
         你好 您好 谢谢 感谢 不用 不客 好的 没问 没关 是的 是吧 对对 对啊 嗯嗯 哈哈 再见 当然 非常 很高 太好 真的 明白 了解 可以 \
         加油 祝你 祝您",
    ),
    (Cues::PROHIBITION, "never must mustn forbidden prohibited 不要 必须 禁止 不得 不准 不许 切勿 务必 严禁"),
    (Cues::NOT, "not don"),
    (Cues::DO, "do"),
    (
        Cues::STOP,
        "不是 没有 什么 我们 你们 他们 自己 这个 那个 可以 就是 一个 时候 怎么 因为 所以 但是 如果 还是 已经 觉得",
    ),
];

/// The lists as one table, built when the first word is learnt.
fn table() -> &'static HashMap<&'static str, Cues> {
    static TABLE: OnceLock<HashMap<&'static str, Cues>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table: HashMap<&'static str, Cues> = HashMap::new();
        for (kind, list) in LISTS {
            for word in list.split_ascii_whitespace() {
                table.entry(word).or_default().add(kind);
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
