//! English words without their endings.

/// A word without its ending: plural, past, "-ing", "-ly", a final "e" or "y", a doubled consonant.
pub(super) fn stem(word: &str) -> &str {
    let cut = |word: &'_ str, ending: &str, least: usize| -> usize {
        match word.strip_suffix(ending) {
            Some(rest) if rest.len() >= least && rest.bytes().any(|b| b"aeiouy".contains(&b)) => rest.len(),
            _ => word.len(),
        }
    };
    if word.len() < 4 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return word;
    }
    let mut n = word.len();
    if !["ss", "us", "is"].iter().any(|kept| word.ends_with(kept)) {
        n = cut(word, "s", 3);
    }
    n = cut(&word[..n], "ly", 4);
    let before = n;
    n = cut(&word[..n], "ing", 3);
    if !word[..n].ends_with("eed") {
        n = cut(&word[..n], "ed", 3);
    }
    let bytes = word.as_bytes();
    if n < before && n > 3 && bytes[n - 1] == bytes[n - 2] {
        n -= 1;
    }
    n = cut(&word[..n], "e", 3);
    n = cut(&word[..n], "i", 3).min(cut(&word[..n], "y", 3));
    &word[..n]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_their_endings() {
        for (a, b) in [
            ("study", "studies"),
            ("stopped", "stop"),
            ("makes", "making"),
            ("quickly", "quick"),
            ("string", "strings"),
        ] {
            assert_eq!(stem(a), stem(b));
        }
        assert_ne!(stem("class"), stem("clas"));
    }
}
