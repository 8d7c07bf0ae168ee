//! Most events of a stream are the one before with another text. The shape of the last one, kept as its bytes, recognises the next
//! without reading it. It must never fit an event that a full reading would find to say something else.
//!
//! That is so because both texts stand in strings: where everything outside of them is the same byte for byte, so is the structure.

use crate::json::string_end;
use core::ops::Range;

/// Longest event that is kept.
const MAX: usize = 2048;

/// An event that has nothing to tell but one text. Empty until there was one.
#[derive(Clone, Debug, Default)]
pub(super) struct Mould {
    event: Vec<u8>,
    /// The text, without its quotes; never empty.
    text: Range<usize>,
    /// The random padding that some providers put behind it.
    padding: Option<Range<usize>>,
    /// What has to be taken out.
    cut: Option<Range<usize>>,
}

/// An event of the mould.
pub(super) struct Fit {
    /// Bytes of its text.
    pub(super) text: usize,
    /// What has to be taken out of it.
    pub(super) cut: Option<Range<usize>>,
}

impl Mould {
    /// Keeps an event; `text`, `padding` and `cut` are places in it.
    pub(super) fn set(&mut self, event: &[u8], text: Range<usize>, padding: Option<Range<usize>>, cut: Option<Range<usize>>) {
        self.event.clear();
        // Padding before the text is not seen anywhere, and not worth a case.
        if event.len() <= MAX && padding.as_ref().is_none_or(|padding| padding.start > text.end) {
            self.event.extend_from_slice(event);
            (self.text, self.padding, self.cut) = (text, padding, cut);
        }
    }

    /// Whether `event` is the same but for its text and padding. An event without text never fits: that it says nothing matters.
    pub(super) fn fit(&self, event: &[u8]) -> Option<Fit> {
        let head = self.event.get(..self.text.start).filter(|head| !head.is_empty())?;
        let (text, behind) = string_end(event.strip_prefix(head)?)?;
        let own_text = self.text.end;
        let own_padding = match &self.padding {
            None => {
                (!text.is_empty() && self.event.get(own_text + 1..)? == behind).then_some(())?;
                None
            }
            Some(own) => {
                let (padding, last) = string_end(behind.strip_prefix(self.event.get(own_text + 1..own.start)?)?)?;
                (!text.is_empty() && self.event.get(own.end + 1..)? == last).then_some(())?;
                Some((own, padding.len()))
            }
        };
        // A place of the kept event, in this one.
        let moved = |place: usize| {
            let by_text = if place > self.text.start {
                text.len() + place - self.text.len()
            } else {
                place
            };
            match own_padding {
                Some((own, length)) if place > own.start => by_text + length - own.len(),
                _ => by_text,
            }
        };
        Some(Fit {
            text: text.len(),
            cut: self.cut.as_ref().map(|cut| moved(cut.start)..moved(cut.end)),
        })
    }
}
