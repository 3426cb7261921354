//! Which lines of a log tell of an error: words of failure, stack traces and what belongs to them.

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// Most lines below a line with a word of failure that belong to it by their indentation. A stack trace has no limit.
const MAX_DETAIL_LINES: usize = 64;

/// What must be true around a pattern for it to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// It is a whole word, or one of a name in camel case, and nothing says that there was none.
    Word,
    /// A number other than zero follows.
    Code,
    /// Two digits follow: a server's status in an access log, `"GET / HTTP/1.1" 503`.
    Status,
    /// Not preceded by a word for none.
    Chinese,
    /// Nothing.
    Always,
}

const PATTERNS: [(Check, &[&str]); 5] = [
    (
        Check::Word,
        &[
            "error",
            "errors",
            "errored",
            "err",
            "exception",
            "exceptions",
            "fatal",
            "critical",
            "panic",
            "panicked",
            "panics",
            "fail",
            "fails",
            "failed",
            "failing",
            "failure",
            "failures",
            "traceback",
            "caused by",
            "crash",
            "crashed",
            "crashes",
            "abort",
            "aborted",
            "aborting",
            "denied",
            "refused",
            "killed",
            "segfault",
            "sigsegv",
            "sigabrt",
            "sigkill",
            "oom",
            "unhandled",
            "uncaught",
            "timed out",
            "goroutine",
            "core dumped",
            "out of memory",
            "segmentation fault",
            "emerg",
            "econnrefused",
            "econnreset",
            "etimedout",
            "enoent",
            "eacces",
        ],
    ),
    (
        Check::Code,
        &["exit code", "exit status", "exited with", "exited with code", "exit_code", "exitcode", "returncode"],
    ),
    (Check::Status, &["\" 5"]),
    (
        Check::Chinese,
        &["错误", "异常", "失败", "报错", "出错", "崩溃", "致命", "超时", "錯誤", "異常", "失敗", "崩潰", "逾時"],
    ),
    // The place of a frame in a Python stack.
    (Check::Always, &["\", line "]),
];

/// For each line whether it tells of an error; `lines` are the lines of `text` with their ends.
///
/// Cost: O(bytes).
pub(super) fn lines(text: &str, lines: &[&str]) -> Vec<bool> {
    let mut is_error = vec![false; lines.len()];
    mark_words(text, lines, &mut is_error);
    mark_blocks(lines, &mut is_error);
    is_error
}

fn mark_words(text: &str, lines: &[&str], is_error: &mut [bool]) {
    let (automaton, checks) = patterns();
    let (mut line, mut end) = (0, lines.first().map_or(0, |line| line.len()));
    for found in automaton.find_iter(text) {
        while found.start() >= end {
            line += 1;
            end += lines[line].len();
        }
        is_error[line] = is_error[line] || holds(checks[found.pattern()], text, found.start(), found.end());
    }
}

fn patterns() -> &'static (AhoCorasick, Vec<Check>) {
    static PATTERNS_READY: OnceLock<(AhoCorasick, Vec<Check>)> = OnceLock::new();
    PATTERNS_READY.get_or_init(|| {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::DFA))
            .build(PATTERNS.iter().flat_map(|(_, words)| words.iter()))
            .expect("the patterns are few and constant");
        (automaton, PATTERNS.iter().flat_map(|&(check, words)| words.iter().map(move |_| check)).collect())
    })
}

fn holds(check: Check, text: &str, start: usize, end: usize) -> bool {
    let (before, after) = (&text[..start], &text[end..]);
    match check {
        Check::Word => is_word(text, start, end) && !is_of_none(before, after),
        Check::Code => {
            let rest = after.as_bytes().iter().skip_while(|byte| b" :=\"'".contains(byte));
            matches!(rest.clone().next(), Some(b'1'..=b'9' | b'-'))
        }
        Check::Status => match *after.as_bytes() {
            [a, b, ref rest @ ..] => {
                a.is_ascii_digit() && b.is_ascii_digit() && !rest.first().is_some_and(u8::is_ascii_alphanumeric)
            }
            _ => false,
        },
        Check::Chinese => !["无", "無", "没有", "沒有", "未发生"].iter().any(|none| before.ends_with(none)),
        Check::Always => true,
    }
}

/// Whether a match stands alone, or is one of the words of a name like `ValueError` or `ErrorKind`.
fn is_word(text: &str, start: usize, end: usize) -> bool {
    let bytes = text.as_bytes();
    let opens_camel = bytes[start].is_ascii_uppercase() && bytes[start + 1].is_ascii_lowercase();
    let starts = match start.checked_sub(1).map(|at| bytes[at]) {
        Some(previous) if previous.is_ascii_alphabetic() => {
            opens_camel || (previous.is_ascii_lowercase() && bytes[start].is_ascii_uppercase())
        }
        _ => true,
    };
    let ends = match bytes.get(end) {
        Some(next) if next.is_ascii_alphabetic() => bytes[end - 1].is_ascii_lowercase() && next.is_ascii_uppercase(),
        _ => true,
    };
    starts && ends
}

/// Whether the words around say that there is no error: `0 errors`, `no error`, `error_count=0`, `"error": null`.
fn is_of_none(before: &str, after: &str) -> bool {
    let before = before.as_bytes();
    let follows = |word: &&[u8]| {
        let Some(at) = before.len().checked_sub(word.len()) else { return false };
        let starts = !before[..at].last().is_some_and(|byte| byte.is_ascii_alphanumeric() || b".,".contains(byte));
        starts && before[at..].eq_ignore_ascii_case(word)
    };
    if [&b"0 "[..], b"no ", b"without "].iter().any(follows) {
        return true;
    }
    let after = after.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '_');
    let Some(value) = ["=", "\":", "':"].iter().find_map(|sign| after.strip_prefix(sign)) else { return false };
    let value = value.trim_start_matches(' ');
    ["0", "null", "None", "nil", "false", "False", "\"\"", "''", "[]", "{}", "<nil>"].iter().any(|none| {
        let rest = value.strip_prefix(none);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || "._-".contains(c)))
    })
}

/// What the lines below a line belong to.
#[derive(Debug, Clone, Copy)]
enum Block {
    /// Nothing.
    None,
    /// A stack trace whose head stands at this column: all that is deeper, and the one line after.
    Trace { column: usize },
    /// A message at this column: all that is deeper, so many lines at most.
    Details { column: usize, left: usize },
    /// All up to a blank line.
    Paragraph,
}

fn mark_blocks(lines: &[&str], is_error: &mut [bool]) {
    let mut block = Block::None;
    for i in 0..lines.len() {
        is_error[i] |= opens_like_an_error(lines[i]);
        let follows_error = i > 0 && is_error[i - 1];
        if let Block::None = block
            && !is_error[i]
            && !follows_error
        {
            continue;
        }
        let line = lines[i].trim_end();
        let is_claimed;
        (is_claimed, block) = claim(block, line);
        is_error[i] |= is_claimed || (follows_error && is_frame(line));
        if !is_error[i] {
            continue;
        }
        let next = lines.get(i + 1).map_or("", |next| next.trim());
        if opens_paragraph(line, next) {
            block = Block::Paragraph;
        } else if let Some(column) = opens_trace(line) {
            block = Block::Trace { column };
        } else if let Block::None = block {
            block = Block::Details { column: indentation(line), left: MAX_DETAIL_LINES };
        }
    }
}

/// Whether a line belongs to the block above it, and the block that stays open.
fn claim(block: Block, line: &str) -> (bool, Block) {
    match block {
        Block::None => (false, block),
        Block::Paragraph => (!line.is_empty(), if line.is_empty() { Block::None } else { block }),
        Block::Trace { column } if line.is_empty() || is_deeper(line, column) => (true, block),
        Block::Trace { .. } => (true, Block::None),
        Block::Details { column, left } if left > 0 && !line.is_empty() && is_deeper(line, column) => {
            (true, Block::Details { column, left: left - 1 })
        }
        Block::Details { .. } => (false, Block::None),
    }
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether a line has a blank at a column; what stands before it may be the prefix of a logger.
fn is_deeper(line: &str, column: usize) -> bool {
    matches!(line.as_bytes().get(column), Some(b' ' | b'\t'))
}

/// Lines known by how they begin: what pytest prints of an assertion, and Google's log format.
fn opens_like_an_error(line: &str) -> bool {
    match line.as_bytes() {
        [b'E', b' ', b' ', ..] => true,
        [b'E' | b'F', a, b, c, d, b' ', ..] => [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

/// The column of a line that opens a stack trace, or of a panic of Rust, whose message is the next line.
fn opens_trace(line: &str) -> Option<usize> {
    let panic = || line.contains("' panicked at ").then_some(indentation(line));
    line.find("Traceback (most recent call last)").or_else(panic)
}

/// Whether what follows up to a blank line is part of the error: a goroutine, a diagnostic of rustc.
fn opens_paragraph(line: &str, next: &str) -> bool {
    (line.starts_with("goroutine ") && line.ends_with("]:")) || next.starts_with("-->")
}

/// Whether a line goes on with the stack trace it stands in.
fn is_frame(line: &str) -> bool {
    let trimmed = line.trim_start();
    let is_numbered = || {
        let rest = trimmed.trim_start_matches(|c: char| c.is_ascii_digit());
        line.len() > trimmed.len() && rest.len() < trimmed.len() && rest.starts_with(": ")
    };
    ["at ", "... ", "|", "note: ", "stack backtrace:", "Suppressed: "].iter().any(|head| trimmed.starts_with(head))
        || is_numbered()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that tell of an error, by their numbers from 0.
    fn errors(text: &str) -> Vec<usize> {
        let split: Vec<&str> = text.split_inclusive('\n').collect();
        lines(text, &split).iter().enumerate().filter_map(|(i, &is_error)| is_error.then_some(i)).collect()
    }

    #[test]
    fn words_of_failure_are_found_in_both_languages() {
        for line in [
            "2026-01-02 ERROR db: lost",
            "ValueError: x",
            "an IOException",
            "java.lang.NullPointerException",
            "errorCode 7",
            "level=error msg=x",
            "err=\"no such host\"",
            "npm ERR! code",
            "1 failed, 3 passed",
            "WARN: request failed",
            "fatal: not a git repository",
            "kernel panic",
            "permission denied",
            "connect ECONNREFUSED 1.2.3.4",
            "10 errors",
            "read timed out",
            "OOM",
            "exit code 137",
            "exit status: 1",
            "GET / HTTP/1.1\" 503 12",
            "请求失败，请重试",
            "发生异常",
            "严重错误",
            "连接錯誤",
            "E   assert 1 == 2",
            "E0102 03:04:05.6 x.go:1] y",
            "  File \"a.py\", line 3, in f",
            "ErrNotFound",
            "my_error",
            "error_count=3",
            "1,000 errors",
        ] {
            assert_eq!(errors(line), [0], "{line}");
        }
    }

    #[test]
    fn other_lines_are_not_of_errors() {
        for line in [
            "",
            "mirror of terror, ferry, interrupt",
            "failover failsafe",
            "room boom",
            "stderr",
            "0 errors",
            "No errors found",
            "errors=0 ok",
            "\"error\": null,",
            "err=<nil>",
            "error_count=0",
            "exit code 0",
            "exit status: 0",
            "GET / HTTP/1.1\" 200 512",
            "a \" 5x",
            "无异常",
            "没有错误",
            "E0102",
            "panicky",
            "without error",
            "GET /x\" 5",
        ] {
            assert!(errors(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_python_traceback_goes_up_to_its_last_line() {
        let text = "ok\nTraceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\n  File \"a.py\", line 2, in \
                    f\n    raise StopIteration\nStopIteration: done\n  with a note\nok\n";
        assert_eq!(errors(text), [1, 2, 3, 4, 5, 6, 7]);
        let prefixed = format!("web-1 | {}", text.trim_end().replace('\n', "\nweb-1 | "));
        assert_eq!(errors(&prefixed), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn java_javascript_rust_and_go_traces_are_kept_whole() {
        let java = "Exception in thread \"main\" java.lang.X\n\tat a.B.c(B.java:1)\n\tat a.D(D.java:2)\nCaused by: a.Y\n\tat \
                    a.E(E.java:3)\n\t... 2 more\nok\n";
        assert_eq!(errors(java), [0, 1, 2, 3, 4, 5]);
        let javascript = "Uncaught TypeError: x\nat f (a.js:1:2)\nat g (a.js:3:4)\nok\n";
        assert_eq!(errors(javascript), [0, 1, 2]);
        let rust = "ok\nthread 'main' panicked at src/main.rs:2:5:\nit broke\nnote: run with `RUST_BACKTRACE=1`\nstack \
                    backtrace:\n   0: a::b\n             at ./a.rs:1:2\n   1: c\nok\n";
        assert_eq!(errors(rust), [1, 2, 3, 4, 5, 6, 7]);
        let rustc = "ok\nerror[E0382]: borrow of moved value\n --> src/a.rs:4:5\n  |\n3 |     let b = a;\n  |             - \
                     here\n\nok\n";
        assert_eq!(errors(rustc), [1, 2, 3, 4, 5]);
        let go = "ok\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/a/main.go:4 +0x1d\n\nok\n";
        assert_eq!(errors(go), [1, 3, 4, 5]);
    }

    #[test]
    fn indented_lines_belong_to_the_error_above_up_to_a_limit() {
        assert_eq!(errors("ERROR x\n  detail\n  more\nok\n  ok\n"), [0, 1, 2]);
        assert_eq!(errors(&format!("ERROR x\n{}", "  detail\n".repeat(1000))).len(), 1 + MAX_DETAIL_LINES);
    }
}
