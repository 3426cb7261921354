//! Folded logs against the templates their lines were made from: which lines are alike is known, not computed.

use proptest::prelude::*;

use super::log::{HEAD_LINES, MIN_LINES, TAIL_LINES, marked};
use super::*;

fn fold(text: &str) -> String {
    let shrunk = shrink(text, true).unwrap();
    assert_eq!(shrunk.form, Form::Log);
    shrunk.text
}

fn numbered(n: usize, line: impl Fn(usize) -> String) -> String {
    (0..n).map(line).collect()
}

#[test]
fn a_run_of_like_lines_is_one_line_and_a_count() {
    let text = format!("start\n{}a\nb\nc\n", numbered(38, |i| format!("12:00:{i:02} worker {i} is done\n")));
    assert_eq!(fold(&text), "start\n12:00:00 worker 0 is done\n[… 37 lines like this]\na\nb\nc\n");
}

#[test]
fn a_cycle_of_lines_is_one_cycle_and_a_count() {
    let text = format!("{}a\nb\nc", numbered(20, |i| format!("ask {i}\r\nanswer {i}\r\n\r\n")));
    assert_eq!(fold(&text), "ask 0\r\nanswer 0\r\n\r\n[… 57 lines like those above]\r\na\nb\nc");
}

#[test]
fn the_last_lines_are_never_folded() {
    let text = numbered(100, |i| format!("progress: {i} of 100\n"));
    let expected =
        "progress: 0 of 100\n[… 96 lines like this]\nprogress: 97 of 100\nprogress: 98 of 100\nprogress: 99 of 100\n";
    assert_eq!(fold(&text), expected);
}

/// A line like no other: its number is spelt in letters.
fn distinct(i: usize) -> String {
    format!("step {} of the long and winding job\n", spelt(i))
}

fn spelt(i: usize) -> String {
    i.to_string().bytes().map(|digit| char::from(digit - b'0' + b'q')).collect()
}

#[test]
fn a_long_text_keeps_head_tail_and_errors() {
    let mut lines: Vec<String> = (0..1000).map(distinct).collect();
    lines[500] = "ERROR: it broke\n".to_owned();
    lines[501] = "    because of this\n".to_owned();
    let folded = fold(&lines.concat());
    let expected = [
        &lines[..40].concat(),
        "[… 458 lines]\n",
        &lines[498..504].concat(),
        "[… 456 lines]\n",
        &lines[960..].concat(),
    ];
    assert_eq!(folded, expected.concat());
}

#[test]
fn repeats_that_are_not_adjacent_are_folded_where_that_is_enough() {
    let text = numbered(300, |i| match ((i * 2_654_435_761) >> 16) % 5 {
        0 => format!("GET /a/{i} from the cache of the edge\n"),
        1 => format!("GET /b/{i} from the cache of the edge\n"),
        2 => format!("POST /c/{i} to the queue of the edge\n"),
        3 => format!("evicted {i} entries from the cache\n"),
        _ => format!("heartbeat {i} of the edge\n"),
    });
    let folded = fold(&text);
    assert!(folded.lines().count() < 20 && folded.contains("like those above"), "{folded}");
}

#[test]
fn an_error_is_never_taken_for_a_like_line_that_is_none() {
    let status = |i| if i == 50 { 503 } else { 200 };
    let text = numbered(100, |i| format!("10.0.0.{i} \"GET / HTTP/1.1\" {} 1234\n", status(i)));
    assert!(fold(&text).contains("10.0.0.50 \"GET / HTTP/1.1\" 503 1234\n"));
}

#[test]
fn repeated_errors_are_folded_only_without_a_break() {
    let error = "ERROR: connection to db-7 refused, retry\n";
    let text = format!("{}{}", error.repeat(60), numbered(30, distinct));
    assert!(fold(&text).starts_with("ERROR: connection to db-7 refused, retry\n[… 59 lines like this]\nstep"));
    let text = numbered(300, |i| format!("{}{error}", distinct(i)));
    assert!(shrink(&text, true).is_none());
}

#[test]
fn short_texts_texts_of_few_bytes_and_marked_texts_are_left_alone() {
    let line = "the same line again and again and again\n";
    assert!(shrink(&line.repeat(MIN_LINES - 1), true).is_none());
    assert!(shrink(&line.repeat(MIN_LINES), true).is_some());
    assert!(shrink(&format!("{}[… 3 lines like this]\n", line.repeat(MIN_LINES)), true).is_none());
    assert!(shrink(&"}\n".repeat(MIN_LINES), true).is_none());
}

#[test]
fn survives_hostile_texts() {
    let million = 1_000_000;
    for text in [
        "", "\n", "\r\n", "\r", "x", " ", "中", "0", "[", "{\"a\":", "\"", "error", "错误", "\" 5", "a\nb\n",
        "é\n\r\n", "\u{0}\n",
    ] {
        let text = text.repeat(million / text.len().max(1));
        if let Some(shrunk) = shrink(&text, true) {
            assert!(shrunk.text.len() < text.len() && shrink(&shrunk.text, true).is_none());
        }
    }
    let lines = numbered(200_000, |i| format!("{}\n", [1, 2, 3, 5, 8, 13][i % 7 % 6] * i % 11 * 7 % 5));
    shrink(&lines, true);
    let letters = numbered(400_000, |i| format!("{}\n", ["a", "b", "c"][i * i % 7 % 3]));
    shrink(&letters, true);
    shrink(&("Traceback (most recent call last):\n".to_owned() + &"  é\n\n".repeat(200_000)), true);
    shrink(&"0 errors no error 0 错误 no 错误".repeat(30_000), true);
}

#[test]
fn what_stands_next_to_an_error_is_not_folded_into_lines_above() {
    let job = |i: usize| format!("starting job {i} on the second host\n");
    let error = "ERROR: no space left on the second host\n";
    let many = numbered(100, |i| job(i) + &distinct(i % 10) + &"the job is done\n".repeat(1 + (i * 7919) / 3 % 2));
    let folded = fold(&(many + &job(4711) + error + &numbered(10, distinct)));
    assert!(folded.contains(&(job(4711) + error)) && folded.lines().count() < 40, "{folded}");
    let folded = fold(&(numbered(100, job) + error + &numbered(10, distinct)));
    assert_eq!(folded, job(0) + "[… 97 lines like this]\n" + &job(98) + &job(99) + error + &numbered(10, distinct));
}

/// What a line is made from, the number aside, and whether it is of an error; a number in letters makes a line like no other.
const TEMPLATES: [(&str, bool); 15] = [
    ("12:00:# INFO request # took # ms", false),
    ("12:00:# INFO user anna logged in", false),
    ("12:00:# DEBUG cache hit for key 0x#", false),
    ("", false),
    ("x", false),
    ("数据第#行已写入磁盘，没有异常", false),
    ("2026-01-0# WARN slow disk", false),
    ("2026-01-0# ERROR disk # is gone", true),
    ("2026-01-0# 请求失败 #", true),
    ("exit code 1#", true),
    ("Traceback (most recent call last):|  File \"a.py\", line #, in f|    return g(#)|StopIteration", true),
    ("java.lang.IllegalStateException: #|\tat a.B.c(B.java:#)|\t... # more", true),
    ("thread 'main' panicked at src/main.rs:#:#:|it is over", true),
    ("panic: #", true),
    ("step @ of the long and winding job", false),
];

/// A log of these templates: `(template, number)` a line, in bursts, so that runs and cycles come about.
fn log() -> impl Strategy<Value = Vec<(usize, usize)>> {
    let part = |templates: std::ops::Range<usize>| {
        (prop::collection::vec(templates, 1..4), 1..40_usize)
            .prop_map(|(cycle, n)| cycle.iter().copied().cycle().take(cycle.len() * n).collect::<Vec<_>>())
    };
    let parts = prop_oneof![6 => part(0..7), 1 => part(7..14).prop_map(|part| part[..part.len().min(9)].to_vec())];
    let odd = (0..TEMPLATES.len()).prop_map(|template| vec![template]);
    let distinct = (1..60_usize).prop_map(|n| vec![TEMPLATES.len() - 1; n]);
    prop::collection::vec(prop_oneof![3 => parts, 4 => odd, 1 => distinct], 1..24)
        .prop_map(|parts| parts.concat().into_iter().enumerate().map(|(i, template)| (template, i)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_folded_log_is_the_source_with_counted_gaps(log in log(), end in prop_oneof![Just("\n"), Just("\r\n")], is_ended: bool) {
        // Each line with the template, the part of it and whether it is an error.
        let mut source: Vec<(String, (usize, usize), bool)> = Vec::new();
        for (template, number) in log {
            let (text, is_error) = TEMPLATES[template];
            for (part, line) in text.split('|').enumerate() {
                let form = if line.contains('@') { (template, number) } else { (template, part) };
                let line = line.replace('#', &number.to_string()).replace('@', &spelt(number));
                source.push((line + end, form, is_error));
            }
        }
        let last = source.last_mut().unwrap();
        if !is_ended && last.0.trim_end() != "" {
            last.0.truncate(last.0.trim_end().len());
        }
        let text: String = source.iter().map(|(line, ..)| line.as_str()).collect();
        let Some(shrunk) = shrink(&text, true) else { return Ok(()) };
        prop_assert!(shrunk.text.len() < text.len());
        prop_assert_eq!(shrink(&shrunk.text, true), None);

        let (mut at, mut n_cut) = (0, 0);
        let mut kept: Vec<(usize, usize)> = Vec::new();
        for line in shrunk.text.split_inclusive('\n') {
            let Some(n) = marked(line) else {
                prop_assert_eq!(line, &source[at].0);
                kept.push(source[at].1);
                at += 1;
                continue;
            };
            for (lost, form, is_error) in &source[at..at + n] {
                prop_assert!(!is_error || kept.contains(form), "an error is lost: {lost}");
                if line.contains("like this") {
                    prop_assert_eq!(kept.last(), Some(form), "{} for {}", line, lost);
                } else if line.contains("like those") {
                    prop_assert!(kept.contains(form), "{} for {}", line, lost);
                }
            }
            at += n;
            n_cut += n;
        }
        prop_assert_eq!(at, source.len());
        prop_assert_eq!(n_cut, shrunk.lines_cut);
        prop_assert_eq!(&source[at - 1].1, kept.last().unwrap());
    }

    #[test]
    fn a_log_without_errors_is_cut_to_head_and_tail(n in 100..400_usize) {
        let folded = fold(&numbered(n, distinct));
        prop_assert_eq!(folded.lines().count(), HEAD_LINES + TAIL_LINES + 1);
    }

    #[test]
    fn any_text_is_taken(text in "(?s)(.{0,20}|error|错误|[0-9a-f]{1,8}|\n|\r\n|  |at |Traceback \\(most recent call last\\):){0,60}") {
        if let Some(shrunk) = shrink(&text, true) {
            prop_assert!(shrunk.text.len() < text.len());
            prop_assert_eq!(shrink(&shrunk.text, true), None);
        }
    }
}
