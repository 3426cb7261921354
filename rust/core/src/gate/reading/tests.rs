//! How texts are read.

use super::*;

fn keys(text: &str) -> Vec<String> {
    Text::new(text).tokens().iter().map(|token| token.key.to_string()).collect()
}

#[test]
fn numbers_are_one_however_written() {
    for (a, b) in [
        ("three", "3"),
        ("3.0", "3"),
        ("1,500", "1500"),
        ("thirty-five", "35"),
        ("two hundred", "200"),
        ("二十三", "23"),
        ("百分之五", "5%"),
        ("两", "2"),
        ("5万", "50000"),
        ("二零二四", "2024"),
        ("3rd", "third"),
        ("５", "5"),
    ] {
        assert_eq!(keys(a), keys(b), "{a} {b}");
    }
    for (a, b) in [("3.10", "3.1"), ("10/3", "3/10"), ("30", "300"), ("十二", "二十")] {
        assert_ne!(keys(a), keys(b), "{a} {b}");
    }
}

#[test]
fn contractions_are_taken_apart() {
    assert_eq!(keys("don't"), keys("do not"));
    assert_eq!(keys("can’t"), keys("can not"));
    let lists: Vec<List> = Text::new("I won't").tokens().iter().map(|token| token.list).collect();
    assert_eq!(lists[2], List::Negation);
}

#[test]
fn codes_stay_whole() {
    assert_eq!(keys("see https://a.example/b, and src/main.rs."), ["see", "https://a.example/b", "and", "src/main.rs"]);
    assert_eq!(keys("web-01 C++ user_id -R"), ["web-01", "c++", "user_id", "-R"]);
}
