//! How long 1 MB takes. Run: `cargo test --release -p rolecore-core --lib -- --ignored --nocapture timing`.
#![allow(clippy::print_stdout, reason = "the numbers are what this is for")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::*;
use crate::cut::CUT_KEY;

const BYTES: usize = 1_000_000;

/// Most that a megabyte may take on a shared machine: of a real text, and of one made to be slow.
const LIMIT: Duration = Duration::from_millis(20);
const HOSTILE_LIMIT: Duration = Duration::from_millis(100);

/// Prints the best of some runs, which is what the code costs when nobody disturbs it.
fn time<T>(what: &str, limit: Duration, run: impl Fn() -> T) {
    let once = |_| {
        let start = Instant::now();
        std::hint::black_box(run());
        start.elapsed()
    };
    let best = (0..25).map(once).min().unwrap();
    println!("{what}: {best:?}");
    assert!(best < limit, "{what}: {best:?}");
}

fn until_full(line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for i in 0.. {
        if text.len() > BYTES {
            break;
        }
        text.push_str(&line(i));
    }
    text
}

/// Numbers without order, the same in each run.
fn chance(i: usize, below: usize) -> usize {
    (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % below
}

fn records(colon: &str, comma: &str, name: &str) -> String {
    let record = |i: usize| {
        let mut text = if i == 0 { "[{" } else { "{" }.to_owned();
        let entries =
            [("id", i.to_string()), ("name", format!("\"{name} {}\"", i * 7)), ("price", format!("{}.50", i % 900))];
        for (key, value) in entries {
            let _ = write!(text, "\"{key}\"{colon}{value}{comma}");
        }
        let _ = write!(text, "\"at\"{colon}{{\"city\"{colon}\"Oslo\"{comma}\"zip\"{colon}{}}}{comma}", i % 9999);
        let _ = write!(text, "\"tags\"{colon}[\"a\"{comma}\"b\"]}}{comma}");
        text
    };
    until_full(record) + "null]"
}

#[test]
#[ignore = "measures time"]
fn timing_of_one_megabyte() {
    let spaced = records(": ", ", ", "blue lantern");
    let document = Document::parse(&spaced).unwrap();
    time("json: parse", LIMIT, || Document::parse(&spaced));
    let keep: Vec<bool> = (0..document.leaf_count()).map(|leaf| leaf % 3 == 0).collect();
    time("json: cut to a third of the leaves", LIMIT, || document.cut(&spaced, &keep, CUT_KEY));

    let request = |kind: &str, i: usize| {
        let (second, ms, host) = (i % 60, i % 1000, i % 256);
        format!("2026-01-02T03:04:{second:02}.{ms:03}Z INFO api {kind} {i} from 10.0.{host}.7 took {ms} ms\n")
    };
    let kinds = ["GET", "PUT", "POST", "evict", "cache hit", "heartbeat"];
    let letters = |i: usize| ["a", "b", "c"][chance(i, 3)];
    let cases = [
        ("json records", LIMIT, spaced),
        ("json records, pretty", LIMIT, records(": ", ",\n      ", "blue lantern")),
        ("json records, escaped", LIMIT, records(": ", ", ", "\\u84dd\\u8272\\u706f\\u7b3c")),
        ("log of one kind", LIMIT, until_full(|i| request("GET", i))),
        ("log of six kinds", LIMIT, until_full(|i| request(kinds[chance(i, 6)], i))),
        ("log of many kinds", LIMIT, until_full(|i| request(&letters(i).repeat(1 + chance(i + 1, 500)), i))),
        ("log of errors", LIMIT, until_full(|i| request(kinds[chance(i, 6)], i).replace("INFO", "ERROR"))),
        ("newlines", HOSTILE_LIMIT, "\n".repeat(BYTES)),
        ("letters", HOSTILE_LIMIT, until_full(|i| format!("{}\n", letters(i)))),
        ("error, error", HOSTILE_LIMIT, "error\n".repeat(BYTES / 6)),
    ];
    for (what, limit, text) in cases {
        let size = shrink(&text, true).map_or(text.len(), |shrunk| shrunk.text.len());
        time(&format!("{what}: {} -> {size} bytes", text.len()), limit, || shrink(&text, true));
    }
}
