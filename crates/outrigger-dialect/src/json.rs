//! A reader that walks over JSON without building anything: for bodies of which a few members matter and the rest must only be skipped.
//! It checks what it needs to slice rightly (strings end, brackets match, members are separated) and leaves the rest to whoever parses
//! the text in full: a bad number or a bad escape deep inside passes. It must never panic or slice outside of what it was given.

use core::ops::Range;
use memchr::{memchr, memchr_iter, memmem::Finder};
use std::borrow::Cow;

/// Deepest nesting of objects and arrays that is read: as many levels as [`Reader::skip`] has bits to remember their kinds.
pub(crate) const MAX_DEPTH: u32 = 128;

/// The text cannot be read any further. [`Reader::why`] tells the reason: this is empty, so that the answers of a reader fit into
/// registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Why a text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is over.
    End,
    /// The byte at this offset cannot stand there.
    Unexpected(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

/// What kind of value stands at the reader's place, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    /// `true`, `false`, `null` or a number.
    Scalar,
}

/// A place in a JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// What has not been read: the end of `bytes`.
    rest: &'a [u8],
    /// Where the contents of the last string began.
    string_at: usize,
    /// Containers entered and not left.
    depth: u32,
    /// The text was cut off: a string without an end goes up to the end of the bytes.
    cut: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            rest: bytes,
            string_at: 0,
            depth: 0,
            cut: false,
        }
    }

    /// Reads the beginning of a text whose end is missing.
    pub(crate) fn of_cut(bytes: &'a [u8]) -> Self {
        Self {
            cut: true,
            ..Self::new(bytes)
        }
    }

    /// Offset of the next unread byte.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }

    /// Offset of the contents of the string or key that was read last.
    #[inline]
    pub(crate) fn string_at(&self) -> usize {
        self.string_at
    }

    /// Why the last call failed.
    pub(crate) fn why(&self) -> Why {
        if self.depth > MAX_DEPTH {
            Why::TooDeep
        } else if self.rest.is_empty() {
            Why::End
        } else {
            Why::Unexpected(self.at())
        }
    }

    #[inline]
    fn space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// The kind of the next value; skips white space before it.
    #[inline]
    pub(crate) fn kind(&mut self) -> Result<Kind, Malformed> {
        self.space();
        match self.rest.first() {
            Some(b'"') => Ok(Kind::String),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => Ok(Kind::Scalar),
            _ => Err(Malformed),
        }
    }

    /// Enters an object or array, whose opening bracket comes next. Then call [`key`](Self::key) or [`item`](Self::item) until it says
    /// that no more comes.
    #[inline]
    pub(crate) fn enter(&mut self) -> Result<(), Malformed> {
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Malformed) } else { Ok(()) }
    }

    /// The raw name of the object's next member, the reader left before the value; `None` = the object is over. `first` says whether
    /// this is the first call for this object, and is cleared.
    #[inline]
    pub(crate) fn key(&mut self, first: &mut bool) -> Result<Option<&'a [u8]>, Malformed> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        let key = self.string()?;
        if let [b':', rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(Some(key));
        }
        self.space();
        let [b':', rest @ ..] = self.rest else { return Err(Malformed) };
        self.rest = rest;
        Ok(Some(key))
    }

    /// Whether the array has another element, the reader left before it.
    #[inline]
    pub(crate) fn item(&mut self, first: &mut bool) -> Result<bool, Malformed> {
        self.more(first, b']')
    }

    /// Also skips the white space before what comes.
    #[inline]
    fn more(&mut self, first: &mut bool, close: u8) -> Result<bool, Malformed> {
        self.space();
        let is_first = core::mem::take(first);
        match self.rest {
            [byte, rest @ ..] if *byte == close => {
                self.rest = rest;
                self.depth = self.depth.saturating_sub(1);
                Ok(false)
            }
            [b',', rest @ ..] if !is_first => {
                self.rest = rest;
                self.space();
                if self.rest.first() == Some(&close) {
                    Err(Malformed)
                } else {
                    Ok(true)
                }
            }
            [_, ..] if is_first => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// The raw contents of the string that comes next, escapes as they stand.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let [b'"', body @ ..] = self.rest else { return Err(Malformed) };
        self.string_at = self.bytes.len() - body.len();
        // Most strings of a protocol are names: a few words find their ends, without the call of a vector search.
        for (at, word) in body.as_chunks().0.iter().take(5).enumerate() {
            let quotes = quotes_in(*word);
            if quotes == 0 {
                continue;
            }
            match body.split_at_checked(at * 8 + (quotes.trailing_zeros() / 8) as usize) {
                Some((contents, [_, rest @ ..])) if contents.last() != Some(&b'\\') => {
                    self.rest = rest;
                    return Ok(contents);
                }
                _ => break,
            }
        }
        if let Some((contents, rest)) = string_end(body) {
            self.rest = rest;
            return Ok(contents);
        }
        self.rest = &[];
        if self.cut { Ok(body) } else { Err(Malformed) }
    }

    /// The bytes of the scalar that comes next, not checked further.
    #[inline]
    pub(crate) fn scalar(&mut self) -> &'a [u8] {
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | b':' | b'"' | b'{' | b'[');
        let length = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        let (scalar, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        self.rest = rest;
        scalar
    }

    /// Skips the next value and says where it stands, without the white space around it.
    pub(crate) fn skip(&mut self) -> Result<Range<usize>, Malformed> {
        self.space();
        let start = self.at();
        self.pass()?;
        Ok(start..self.at())
    }

    /// Skips the next value.
    #[inline]
    pub(crate) fn pass(&mut self) -> Result<(), Malformed> {
        match self.kind()? {
            Kind::String => self.string().map(|_| ()),
            Kind::Scalar => {
                self.scalar();
                Ok(())
            }
            Kind::Object | Kind::Array => self.pass_container(),
        }
    }

    /// One bit per open container remembers whether it is an object, so that `[}` is noticed.
    fn pass_container(&mut self) -> Result<(), Malformed> {
        let mut kinds: u128 = 0;
        let mut open: u32 = 0;
        loop {
            let [byte, rest @ ..] = self.rest else { return Err(Malformed) };
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => {
                    open += 1;
                    if self.depth + open > MAX_DEPTH {
                        self.depth += open;
                        return Err(Malformed);
                    }
                    kinds = kinds << 1 | u128::from(*byte == b'{');
                }
                b'}' | b']' => {
                    if (kinds & 1 == 1) != (*byte == b'}') {
                        return Err(Malformed);
                    }
                    kinds >>= 1;
                    open -= 1;
                    if open == 0 {
                        self.rest = rest;
                        return Ok(());
                    }
                }
                _ => {}
            }
            self.rest = rest;
        }
    }

    /// The next value as raw text, its contents only where it is a string; `None` for every other kind, which is skipped.
    #[inline]
    pub(crate) fn string_or_skip(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.kind()? == Kind::String {
            return self.string().map(Some);
        }
        self.pass()?;
        Ok(None)
    }

    /// The next value as a count: a whole number, or the whole part of one with a fraction. `None` for null and everything else.
    pub(crate) fn count_or_skip(&mut self) -> Result<Option<u64>, Malformed> {
        self.space();
        let mut count = None;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.rest {
            count = Some(count.unwrap_or(0_u64).saturating_mul(10).saturating_add(u64::from(digit - b'0')));
            self.rest = rest;
        }
        match (count, self.rest) {
            (None, _) => {
                self.pass()?;
                return Ok(None);
            }
            (Some(_), [b',' | b'}', ..]) => return Ok(count),
            _ => {}
        }
        let fraction = self.scalar();
        let plain = fraction.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        Ok(count.filter(|_| plain))
    }

    /// Nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        self.space();
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    /// The bytes of a range that [`skip`](Self::skip) gave.
    pub(crate) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.bytes.get(range).unwrap_or_default()
    }
}

/// Cuts what follows an opening quote into the string's contents and what comes behind its closing quote.
pub(crate) fn string_end(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (contents, rest) = body.split_at_checked(closing_quote(body)?)?;
    Some((contents, rest.get(1..)?))
}

/// Bytes behind an escaped quote that are looked at together: where one is, more are. To stop at each takes six times as long in code.
const BLOCK: usize = 1 << 10;

fn closing_quote(body: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let quote = from + memchr(b'"', body.get(from..)?)?;
        if closes(body, quote) {
            return Some(quote);
        }
        from = quote + 1;
        let Some(block) = body.get(from..).and_then(<[u8]>::first_chunk) else {
            continue;
        };
        if !all_escaped(body.get(quote - 1..)?, block)
            && let Some(quote) = memchr_iter(b'"', block).find(|quote| closes(body, from + quote))
        {
            return Some(from + quote);
        }
        from += BLOCK;
    }
}

/// Whether exactly one backslash stands before each quote in `block`; `from` starts two bytes earlier.
#[expect(clippy::needless_bitwise_bool, reason = "without branches it compiles to vector instructions")]
fn all_escaped(from: &[u8], block: &[u8; BLOCK]) -> bool {
    let (Some(second), Some(first)) = (from.first_chunk::<BLOCK>(), from.get(1..).and_then(<[u8]>::first_chunk::<BLOCK>)) else {
        return false;
    };
    let mut bare = false;
    for ((byte, first), second) in block.iter().zip(first).zip(second) {
        bare |= (*byte == b'"') & !((*first == b'\\') & (*second != b'\\'));
    }
    !bare
}

/// Whether no backslash escapes the quote at `quote`.
fn closes(body: &[u8], quote: usize) -> bool {
    let contents = body.get(..quote).unwrap_or_default();
    contents.last() != Some(&b'\\') || trailing_backslashes(contents).is_multiple_of(2)
}

/// Eight bytes with the high bit set in the first that is a quote; zero where none is. What it says of the bytes behind may be wrong.
#[inline]
fn quotes_in(bytes: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const QUOTES: u64 = 0x2222_2222_2222_2222;
    let differs = u64::from_le_bytes(bytes) ^ QUOTES;
    // The lowest set high bit marks the first zero byte; borrows can only spoil the bits above it.
    differs.wrapping_sub(ONES) & !differs & (ONES << 7)
}

fn trailing_backslashes(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| **byte == b'\\').count()
}

/// A string's contents with their escapes resolved; `None` where an escape is bad.
pub(crate) fn unescape(raw: &[u8]) -> Option<Cow<'_, str>> {
    if memchr(b'\\', raw).is_none() {
        return core::str::from_utf8(raw).ok().map(Cow::Borrowed);
    }
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice(&quoted).ok().map(Cow::Owned)
}

/// A string as JSON has it, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    // Printable characters stand for themselves but for two.
    if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        return serde_json::Value::from(text).to_string();
    }
    ["\"", text, "\""].concat()
}

/// Where the comma stands that follows what ends at `from`.
pub(crate) fn comma_behind(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    (rest.get(space) == Some(&b',')).then_some(from + space)
}

/// Where the comma stands that precedes what starts at `to`.
pub(crate) fn comma_before(bytes: &[u8], to: usize) -> Option<usize> {
    let before = bytes.get(..to)?.trim_ascii_end();
    before.strip_suffix(b",").map(<[u8]>::len)
}

/// Finds the member with the key `quoted` (quotes included) of the object with whose closing brace `tail` ends. `tail` is the last part
/// of a JSON text and may start anywhere in it. `read` reads the member's value and is called for each that might be it, the last first.
///
/// Sound for valid JSON. A string cannot contain the key with both its quotes, as they would be escaped there; and where everything
/// between the value and the end of the text are members of one object and its brace, that object is the outermost one.
pub(crate) fn last_member<'a, T>(
    tail: &'a [u8],
    quoted: &Finder<'_>,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Option<T> {
    let mut hits = [None; 4];
    // More hits than a few only come where the key is a common word of the answer, and then the search is no use.
    for (slot, hit) in hits.iter_mut().zip(quoted.find_iter(tail)) {
        *slot = Some(hit);
    }
    hits.into_iter().rev().flatten().find_map(|hit| {
        let mut reader = Reader {
            depth: 1,
            rest: tail.get(hit..)?,
            ..Reader::new(tail)
        };
        let mut first = true;
        reader.key(&mut first).ok()??;
        let value = read(&mut reader).ok()?;
        while reader.key(&mut first).ok()?.is_some() {
            reader.pass().ok()?;
        }
        reader.end().ok()?;
        Some(value)
    })
}

/// Calls `each` with the raw name of every member of `object` and the reader before the value, which `each` must read or skip.
#[inline]
pub(crate) fn members<'a>(
    reader: &mut Reader<'a>,
    mut each: impl FnMut(&mut Reader<'a>, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if reader.kind()? != Kind::Object {
        return reader.pass();
    }
    reader.enter()?;
    let mut first = true;
    while let Some(key) = reader.key(&mut first)? {
        each(reader, key)?;
    }
    Ok(())
}

/// Calls `each` with the reader before every element of the array that comes next; any other value is skipped.
#[inline]
pub(crate) fn items<'a>(reader: &mut Reader<'a>, mut each: impl FnMut(&mut Reader<'a>) -> Result<(), Malformed>) -> Result<(), Malformed> {
    if reader.kind()? != Kind::Array {
        return reader.pass();
    }
    reader.enter()?;
    let mut first = true;
    while reader.item(&mut first)? {
        each(reader)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
