//! Base64 inside the JSON text of a message's part: audio, files and images, which no provider counts as text.

use crate::tokens::ImageSize;

/// Shorter base64 is an id or a checksum, and counted as the text it is.
const MIN_LEN: usize = 256;
/// Keys whose base64 is data: in the forms of Chat Completions, Responses and Anthropic.
const DATA_KEYS: [&str; 3] = ["data", "file_data", "b64_json"];
/// Lines of wrapped base64 are this long at the least: shorter ones are words.
const MIN_LINE: usize = 60;

/// A JSON text without its payloads, and the images among them, each with its size if that is known.
///
/// A payload is a data URL in base64 anywhere, or base64 under a key that says so; it is left out as an empty string.
pub(crate) fn taken_out(json: &str) -> (String, Vec<Option<ImageSize>>) {
    let (mut left, mut images) = (String::with_capacity(json.len().min(4096)), Vec::new());
    let (mut key, mut rest, mut is_image) = ("", json, false);
    while let Some((before, after)) = rest.split_once('"') {
        let (text, behind) = after.split_at(end_of_string(after));
        left.push_str(before);
        left.push('"');
        rest = behind.strip_prefix('"').unwrap_or(behind);
        let is_key = rest.trim_start().starts_with(':');
        let url = is_data_url(text).then(|| ImageSize::of_url(text));
        let data = (DATA_KEYS.contains(&key) && is_base64(text)).then(|| ImageSize::of_base64(text));
        match url.or(data).filter(|_| !is_key) {
            Some(size) => {
                if size.is_some() || is_image || starts_with_caseless(text, "data:image/") {
                    images.push(size);
                }
            }
            None => left.push_str(text),
        }
        if is_key {
            key = text;
        } else if ["media_type", "mime_type"].contains(&key) {
            is_image = text.starts_with("image/");
        }
        if behind.len() > rest.len() {
            left.push('"');
        }
    }
    left.push_str(rest);
    (left, images)
}

/// Where a JSON string ends, from behind its first quote.
fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.unwrap_or(text.len())
}

fn is_data_url(text: &str) -> bool {
    let head = text.split_once(',').map(|(head, _)| head);
    text.len() >= MIN_LEN
        && starts_with_caseless(text, "data:")
        && head.is_some_and(|head| head.to_ascii_lowercase().trim_end().ends_with("base64"))
}

fn starts_with_caseless(text: &str, start: &str) -> bool {
    text.as_bytes().get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

/// Base64 of either alphabet, in one line or in lines of one length.
fn is_base64(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    let text = text.trim_end_matches("\\n").trim_end_matches("\\r");
    let lines: Vec<&str> = text.split("\\n").map(|line| line.strip_suffix("\\r").unwrap_or(line)).collect();
    let first = lines[0].len();
    let is_wrapped_evenly = lines.iter().rev().skip(1).all(|line| line.len() == first && first >= MIN_LINE);
    text.len() >= MIN_LEN && is_wrapped_evenly && lines.iter().all(|line| line.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a file part that holds `payload` under `key`.
    fn left_of(key: &str, payload: &str) -> (bool, usize) {
        let json = |payload: &str| format!(r#"{{"type": "file", "file": {{"{key}": "{payload}", "name": "a \" b"}}}}"#);
        let (left, images) = taken_out(&json(payload));
        assert!(left == json("") || left == json(payload), "{left}");
        (left == json(""), images.len())
    }

    #[test]
    fn base64_goes_where_a_key_or_a_url_says_that_it_is() {
        let data = "Ab+/".repeat(95);
        let line = &data[..76];
        for payload in [
            data.clone(),
            format!("{line}\\n{line}\\n{line}\\n{line}\\nAA=="),
            format!("{line}\\r\\n").repeat(4) + "AA\\r\\n",
        ] {
            assert_eq!(left_of("file_data", &payload), (true, 0));
            assert_eq!(left_of("content", &payload), (false, 0));
        }
        for head in [
            "data:application/pdf;base64,",
            "DATA:a/b;BASE64,",
            "data:a/b;name=\\\"x.pdf\\\";base64,",
            "data:;base64,%2B",
        ] {
            assert_eq!(left_of("anything", &format!("{head}{data}")), (true, 0));
        }
        assert_eq!(left_of("url", &format!("data:image/x;base64,{data}")), (true, 1));
    }

    #[test]
    fn text_stays_whatever_it_looks_like() {
        let words = "identifier1\\n".repeat(80);
        let data = "Ab+/".repeat(95);
        for (key, text) in [
            ("content", words.as_str()),
            ("data", words.as_str()),
            ("data", &data[..252]),
            ("data", &format!("{data} and more")),
            ("data", &format!("{data}\u{e9}")),
            ("url", &format!("data:text/plain,{data}")),
            ("data", "src/module_1/file\\\\".repeat(30).as_str()),
        ] {
            assert_eq!(left_of(key, text), (false, 0), "{key} {text}");
        }
        for odd in ["", "\"", "{\"a\": \"b", "\\\"", "[\"data\", \"x\"]"] {
            assert!(taken_out(odd).0.starts_with(odd), "{odd}");
        }
    }

    #[test]
    fn images_within_are_told_by_their_header_or_their_type() {
        let gif = "R0lGODlhAAEAAQ".to_owned() + &"A".repeat(300);
        let source = |kind: &str, data: &str| format!(r#"{{"source": {{"media_type": "{kind}", "data": "{data}"}}}}"#);
        assert_eq!(taken_out(&source("x/y", &gif)).1, [ImageSize::new(256, 256)]);
        assert_eq!(taken_out(&source("image/tiff", &"A".repeat(300))).1, [None]);
        assert_eq!(taken_out(&source("audio/wav", &"A".repeat(300))).1, []);
    }
}
