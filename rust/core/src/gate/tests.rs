//! What the gate refuses and lets pass.

use super::*;
use proptest::prelude::*;

fn refuses(a: &str, b: &str, why: Difference) {
    assert_eq!(difference(a, b), Some(why), "{a} / {b}");
    assert_eq!(difference(b, a), Some(why), "{b} / {a}");
}

#[test]
fn refuses_what_differs() {
    for (a, b, why) in [
        ("Is the lamp safe?", "Isn't the lamp safe?", Difference::Negation),
        ("这盏灯安全吗", "这盏灯不安全吗", Difference::Negation),
        ("Wait 3 days", "Wait thirty days", Difference::Number),
        ("Use release 3.1", "Use release 3.10", Difference::Number),
        ("等三天", "等30天", Difference::Number),
        ("A room in Oslo tonight", "A room in Cork tonight", Difference::Name),
        ("Look at a_b", "Look at a_c", Difference::Name),
        ("What is my name?", "What is your name?", Difference::Name),
        ("他在哪里", "她在哪里", Difference::Name),
        ("Take vitamin A daily", "Take vitamin D daily", Difference::Name),
        ("把文件A盖到B", "把文件B盖到A", Difference::Order),
        ("What is \"less is more\"?", "What is \"time is money\"?", Difference::Name),
        ("Turn on the lamp", "Turn the lamp off", Difference::Opposite),
        ("Is a locked room safe?", "Is a locked room unsafe?", Difference::Opposite),
        ("把灯打开", "把灯关闭", Difference::Opposite),
        ("Do all lamps glow?", "Do some lamps glow?", Difference::Quantity),
        ("Must I pay?", "May I pay?", Difference::Quantity),
        ("How does it glow?", "Why does it glow?", Difference::Question),
        ("它为什么亮", "它怎么亮", Difference::Question),
        ("From the lake to the sea", "From the sea to the lake", Difference::Order),
        ("Do otters hunt gulls?", "Do gulls hunt otters?", Difference::Order),
        ("水獭比海鸥大吗", "海鸥比水獭大吗", Difference::Order),
        ("How do I paint a lamp?", "How do I paint a fence?", Difference::Wording),
        ("怎么画灯笼", "怎么画栅栏", Difference::Wording),
        ("Paint the lamp", "Paint the garden lamp", Difference::Wording),
    ] {
        refuses(a, b, why);
    }
}

#[test]
fn passes_what_says_the_same() {
    for (a, b) in [
        ("How do I paint a lamp?", "HOW CAN I PAINT LAMPS, PLEASE"),
        ("How do I paint my lamp?", "How do you paint your lamp?"),
        ("Don't paint the lamp.", "Do not paint the lamp"),
        ("Wait 3 days", "wait three days"),
        ("In Oslo, where do I sleep?", "Where do I sleep in Oslo?"),
        ("Bake it with eggs and milk", "Bake it with milk and eggs"),
        ("What is the reason it glows?", "Why does it glow?"),
        ("怎么画灯笼？", "请问如何画灯笼"),
        ("今天奥斯陆冷不冷", "奥斯陆今天冷吗"),
        ("等３天", "等三天"),
        ("", " \n"),
    ] {
        assert_eq!(difference(a, b), None, "{a} / {b}");
    }
}

/// The pairs of a file, a line each.
fn pairs<'a>(text: &'a str, mark: &str) -> Vec<(&'a str, &'a str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(mark).expect("a line is a pair")).collect()
}

#[test]
fn refuses_the_pairs_of_another_meaning() {
    for (a, b) in pairs(include_str!("tests/refused.txt"), " ≠ ") {
        assert!(difference(a, b).is_some(), "{a} / {b}");
        assert_eq!(difference(a, b), difference(b, a), "{a} / {b}");
    }
}

#[test]
fn passes_the_pairs_of_one_meaning() {
    for (a, b) in pairs(include_str!("tests/passing.txt"), " = ") {
        assert_eq!(difference(a, b), None, "{a} / {b}");
        assert_eq!(difference(b, a), None, "{b} / {a}");
    }
}

#[test]
fn takes_time_linear_in_the_length() {
    const PIECES: [&str; 10] = [
        "two hundred ",
        "what is it like ",
        "f(a, ",
        "all but ",
        "except ",
        "他借给谁",
        "除",
        "开不开",
        "a - ",
        "stop to ",
    ];
    let seconds = |text: &str| {
        let began = std::time::Instant::now();
        assert_eq!(difference(text, text), None);
        difference(text, &format!("x {text}"));
        began.elapsed().as_secs_f64()
    };
    for piece in PIECES {
        let [short, long] = [8_000, 64_000].map(|size: usize| piece.repeat(size / piece.len()));
        let (short, long) = ((0..3).map(|_| seconds(&short)).fold(f64::MAX, f64::min), seconds(&long));
        // Eight times as long; 64 times the time would be quadratic.
        assert!(long < 32.0 * short + 0.05, "{piece}: {short} s, {long} s");
    }
}

#[test]
fn refuses_long_texts_that_differ_in_much() {
    let long = |word: &str| (0..3000).map(|i| format!("{word}{i}")).collect::<Vec<_>>().join(" ");
    refuses(&long("a"), &long("b"), Difference::Length);
    assert_eq!(difference(&long("a"), &format!("please {}", long("a"))), None);
}

fn texts() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "not",
        "n't",
        "don't",
        "3",
        "3.0",
        "1,500",
        "two",
        "hundred",
        "Oslo",
        "from",
        "to",
        "a_b",
        "-R",
        "\"",
        "“",
        "”",
        "'",
        "-",
        "/",
        "?",
        "how",
        "many",
        "why",
        "all",
        "on",
        "off",
        "unsafe",
        "safe",
        "5km",
        "20%",
        "不",
        "没有",
        "but ",
        "only",
        "will",
        "did",
        "me",
        "he",
        "who",
        "what",
        "like",
        "e-",
        "f(a, b)",
        "(",
        "&&",
        "|",
        "!",
        "stop to ",
        "running",
        "他",
        "谁",
        "除",
        "外",
        "不开",
        "開",
        "一百五",
        "a",
        "i",
        "x",
        "三",
        "百",
        "万",
        "从",
        "到",
        "好",
        "打开",
        "灯",
        "５",
        "ﬁ",
        "İ",
        "ß",
        "e\u{301}",
        "\u{0}",
        "\u{FFFD}",
        " ",
        " ",
        " ",
    ]);
    prop_oneof![prop::collection::vec(words, 0..24).prop_map(|words| words.concat()), ".{0,40}",]
}

proptest! {
    #[test]
    fn is_symmetric(a in texts(), b in texts()) {
        prop_assert_eq!(difference(&a, &b), difference(&b, &a));
    }

    #[test]
    fn never_refuses_a_text_beside_itself(a in texts()) {
        prop_assert_eq!(difference(&a, &a), None);
        prop_assert_eq!(difference(&a, &format!("  {}\n", a.replace(' ', "  "))), None);
    }
}
