//! Reads a JSON text into spans: one pass, one explicit state, the open containers found by their parent index.

use super::{Document, Kind, MAX_DEPTH, NO_PARENT, Node};

pub(super) fn parse(text: &str) -> Option<Document> {
    // Every offset and every index of a node is below the length.
    u32::try_from(text.len()).ok().filter(|&len| len < NO_PARENT)?;
    let document = Document { nodes: Vec::new(), leaves: Vec::new(), comma_is_spaced: None, colon_is_spaced: None };
    let mut parser = Parser { bytes: text.as_bytes(), at: 0, open: NO_PARENT, depth: 0, document };
    parser.document()?;
    Some(parser.document)
}

struct Parser<'t> {
    bytes: &'t [u8],
    at: usize,
    /// The innermost container that is not closed yet.
    open: u32,
    depth: usize,
    document: Document,
}

impl Parser<'_> {
    fn document(&mut self) -> Option<()> {
        self.skip_space();
        let mut key = (0, 0);
        loop {
            if self.opens(key)? {
                key = self.key()?;
                continue;
            }
            // A value has ended: close what ends with it, up to the next value.
            loop {
                self.skip_space();
                if self.open == NO_PARENT {
                    return (self.at == self.bytes.len()).then_some(());
                }
                let byte = self.peek()?;
                self.at += 1;
                if byte == b',' {
                    let is_spaced = self.skip_space();
                    self.document.comma_is_spaced.get_or_insert(is_spaced);
                    key = self.key()?;
                    break;
                }
                if byte != self.closing() {
                    return None;
                }
                self.close();
            }
        }
    }

    /// Reads a scalar, an empty container, or the sign that opens a container; whether a value inside it is next.
    fn opens(&mut self, key: (u32, u32)) -> Option<bool> {
        let start = self.at;
        let kind = match self.peek()? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => {
                self.string()?;
                Kind::String
            }
            b't' => self.literal(b"true")?,
            b'f' => self.literal(b"false")?,
            b'n' => self.literal(b"null")?,
            _ => {
                self.number()?;
                Kind::Number
            }
        };
        let index = small(self.document.nodes.len());
        let is_container = matches!(kind, Kind::Object | Kind::Array);
        if is_container {
            self.at += 1;
        }
        let value = (small(start), small(self.at));
        self.document.nodes.push(Node { kind, key, value, parent: self.open, end: index + 1 });
        if is_container {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return None;
            }
            self.open = index;
            self.skip_space();
            if self.peek()? != self.closing() {
                return Some(true);
            }
            self.at += 1;
            self.close();
        }
        self.document.leaves.push(index);
        Some(false)
    }

    /// Reads `"key":` where an object is open; an array has none.
    fn key(&mut self) -> Option<(u32, u32)> {
        if self.document.nodes[self.open as usize].kind == Kind::Array {
            return Some((0, 0));
        }
        let start = self.at;
        if self.peek()? != b'"' {
            return None;
        }
        self.string()?;
        let key = (small(start), small(self.at));
        self.skip_space();
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        let is_spaced = self.skip_space();
        self.document.colon_is_spaced.get_or_insert(is_spaced);
        Some(key)
    }

    fn closing(&self) -> u8 {
        if self.document.nodes[self.open as usize].kind == Kind::Object { b'}' } else { b']' }
    }

    fn close(&mut self) {
        let end = small(self.document.nodes.len());
        let node = &mut self.document.nodes[self.open as usize];
        node.end = end;
        node.value.1 = small(self.at);
        self.open = node.parent;
        self.depth -= 1;
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps over white space; whether there was any.
    fn skip_space(&mut self) -> bool {
        let start = self.at;
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
        self.at > start
    }

    fn literal(&mut self, word: &[u8]) -> Option<Kind> {
        self.at += word.len();
        (self.bytes.get(self.at - word.len()..self.at)? == word).then_some(Kind::Literal)
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Reads from the opening quote past the closing one.
    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            self.skip_plain();
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.escape()?,
                ..b' ' => return None,
                _ => self.at += 1,
            }
        }
    }

    /// Steps over characters that stand for themselves, eight bytes at a time; stops at or before any other.
    fn skip_plain(&mut self) {
        const ONES: u64 = u64::from_ne_bytes([1; 8]);
        const HIGH: u64 = ONES << 7;
        // Sets the high bit of the first byte below `than`, and perhaps of later ones. Source: "Bit Twiddling Hacks",
        // "Determine if a word has a byte less than n", https://graphics.stanford.edu/~seander/bithacks.html
        let less = |word: u64, than: u64| word.wrapping_sub(ONES * than) & !word & HIGH;
        while let Some(chunk) = self.bytes[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            let found =
                less(word, 0x20) | less(word ^ (ONES * u64::from(b'"')), 1) | less(word ^ (ONES * u64::from(b'\\')), 1);
            if found != 0 {
                self.at += (found.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
    }

    fn escape(&mut self) -> Option<()> {
        match *self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let digits = self.bytes.get(self.at + 2..self.at + 6)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }
}

fn small(at: usize) -> u32 {
    u32::try_from(at).expect("the text is shorter than 4 GiB")
}
