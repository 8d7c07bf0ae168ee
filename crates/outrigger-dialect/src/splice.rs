//! A request body with single fields changed: slices of the original with small new pieces between them. It must never touch a byte
//! outside of the fields that it is told to change.

use crate::{
    json::{self, comma_before, comma_behind},
    scan::{Member, Scan},
};
use bytes::Bytes;
use core::ops::Range;

/// What to change. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edits<'a> {
    /// The model's name to send.
    pub model: Option<&'a str>,
    /// Ask for usage in the stream where the client did not: sets `stream_options.include_usage` and keeps its other members.
    pub include_usage: bool,
    /// Take `stream_options` out, for providers that refuse it; wins over `include_usage`.
    pub drop_stream_options: bool,
    /// The one name for the limit on output tokens. A limit under the other name is renamed; of two the value of
    /// `max_completion_tokens` stays.
    pub token_limit: Option<TokenLimit>,
}

/// The name of the limit on output tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenLimit {
    /// `max_tokens`
    MaxTokens,
    /// `max_completion_tokens`
    MaxCompletionTokens,
}

/// The pieces of the changed body, in order and none of them empty. `body` must be the one that `scan` was made of.
pub fn splice(body: &Bytes, scan: &Scan, edits: &Edits<'_>) -> Vec<Bytes> {
    let mut cuts = Cuts { body, all: Vec::new() };
    if let Some(model) = edits.model.filter(|model| *model != scan.model_name) {
        let quoted = json::quoted(model);
        // The span leaves the quotes out.
        cuts.replace(scan.model.start.saturating_sub(1)..scan.model.end + 1, quoted);
    }
    if edits.drop_stream_options {
        cuts.remove(scan.places.stream_options);
    } else if edits.include_usage && !scan.include_usage {
        cuts.ask_for_usage(scan);
    }
    if let Some(limit) = edits.token_limit {
        cuts.one_token_limit(scan, limit);
    }
    cuts.apply()
}

struct Cuts<'a> {
    body: &'a Bytes,
    all: Vec<Cut>,
}

/// One range of the body and what stands there instead.
struct Cut {
    range: Range<usize>,
    with: Bytes,
    /// Takes a whole member out, and still needs a comma beside it to go with it.
    member: bool,
}

impl Cuts<'_> {
    fn replace(&mut self, range: Range<usize>, with: impl Into<Bytes>) {
        let with = with.into();
        self.all.push(Cut {
            range,
            with,
            member: false,
        });
    }

    fn remove(&mut self, member: Option<Member>) {
        let Some(Member { key, value, .. }) = member else { return };
        self.all.push(Cut {
            range: key.start.saturating_sub(1)..value.end,
            with: Bytes::new(),
            member: true,
        });
    }

    fn ask_for_usage(&mut self, scan: &Scan) {
        const MEMBER: &str = r#""include_usage":true"#;
        let places = &scan.places;
        match (scan.stream_options, places.include_usage, places.stream_options) {
            (_, Some(value), _) => self.replace(value.start..value.end, "true"),
            (Some(options), None, _) => {
                let comma = if places.no_options { "" } else { "," };
                self.replace(options.start + 1..options.start + 1, format!("{MEMBER}{comma}"));
            }
            (None, None, Some(null)) => self.replace(null.value.start..null.value.end, format!("{{{MEMBER}}}")),
            // The body is not empty: it has a model.
            (None, None, None) => self.replace(places.body..places.body, format!("\"stream_options\":{{{MEMBER}}},")),
        }
    }

    fn one_token_limit(&mut self, scan: &Scan, limit: TokenLimit) {
        let (short, long) = (scan.places.max_tokens, scan.places.max_completion_tokens);
        let long_stays = match (short, long) {
            (Some(short), Some(long)) => !long.null || short.null,
            (_, long) => long.is_some(),
        };
        let (stays, goes) = if long_stays { (long, short) } else { (short, long) };
        self.remove(goes);
        let Some(stays) = stays else { return };
        let name = match limit {
            TokenLimit::MaxTokens if long_stays => "max_tokens",
            TokenLimit::MaxCompletionTokens if !long_stays => "max_completion_tokens",
            TokenLimit::MaxTokens | TokenLimit::MaxCompletionTokens => return,
        };
        self.replace(stays.key.start..stays.key.end, name);
    }

    fn apply(mut self) -> Vec<Bytes> {
        self.all.sort_by_key(|cut| (cut.range.start, cut.range.end));
        if self.all.iter().any(|cut| cut.member) {
            self.take_commas();
        }
        let mut pieces = Vec::with_capacity(self.all.len() * 2 + 1);
        let mut at = 0;
        for Cut { range, with, .. } in self.all {
            push(&mut pieces, slice(self.body, at..range.start));
            push(&mut pieces, with);
            at = range.end;
        }
        push(&mut pieces, slice(self.body, at..self.body.len()));
        pieces
    }

    /// Every member that goes takes the comma behind it along; the last member of the body has none and takes the one before it, and
    /// where the members before it go as well, the one before those.
    fn take_commas(&mut self) {
        let mut done: Vec<Cut> = Vec::with_capacity(self.all.len());
        for mut cut in core::mem::take(&mut self.all) {
            if cut.member {
                if let Some(comma) = comma_behind(self.body, cut.range.end) {
                    cut.range.end = comma + 1;
                } else {
                    while let Some(before) = done.pop_if(|before| before.member && self.only_space(before.range.end..cut.range.start)) {
                        cut.range.start = before.range.start;
                    }
                    cut.range.start = comma_before(self.body, cut.range.start).unwrap_or(cut.range.start);
                }
            }
            done.push(cut);
        }
        self.all = done;
    }

    fn only_space(&self, range: Range<usize>) -> bool {
        self.body.get(range).is_some_and(|between| between.trim_ascii().is_empty())
    }
}

fn slice(body: &Bytes, range: Range<usize>) -> Bytes {
    let end = range.end.min(body.len());
    body.slice(range.start.min(end)..end)
}

fn push(pieces: &mut Vec<Bytes>, piece: Bytes) {
    if !piece.is_empty() {
        pieces.push(piece);
    }
}

#[cfg(test)]
mod tests;
