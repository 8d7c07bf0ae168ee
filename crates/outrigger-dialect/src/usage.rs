//! Usage objects of both dialects, and of providers that deviate, as tokens in disjoint classes. A count that is missing is never guessed,
//! and a token is never counted twice.
//!
//! OpenAI's prompt count contains what the cache gave and took, Anthropic's does not; some providers leave reasoning out of the
//! completion count.

use crate::json::{Kind, Malformed, Reader, items, members, unescape};
use outrigger_core::{Dialect, PicoUsd, Usage};

/// Counts as they come in. Streams repeat them cumulatively: what is told later replaces what was told before, field by field.
#[derive(Clone, Debug)]
pub struct Tally {
    dialect: Dialect,
    raw: Raw,
    cost: Option<PicoUsd>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Raw {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cached_read: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
    /// Anthropic lists the parts of a call that ran the model more than once; they replace the counts beside them.
    iterations: Option<Usage>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            raw: Raw::default(),
            cost: None,
        }
    }

    /// Takes in one `usage` object. Text that is no such object changes nothing.
    pub fn take(&mut self, object: &[u8]) {
        // What could be read before a malformed place is still what the provider said.
        let _ = self.read(&mut Reader::new(object));
    }

    pub(crate) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let Self { dialect, raw, cost } = self;
        let mut told_cost = None;
        let mut own_key = false;
        members(reader, |reader, key| {
            match key {
                b"cost" => told_cost = read_cost(reader)?,
                b"is_byok" => own_key = reader.kind()? == Kind::Scalar && reader.scalar() == b"true",
                b"iterations" => raw.iterations = read_iterations(reader, *dialect)?,
                _ => raw.member(reader, key)?,
            }
            Ok(())
        })?;
        // With the account's own key behind OpenRouter the figure is its fee, not the price of the call.
        if !own_key && told_cost.is_some() {
            *cost = told_cost;
        }
        Ok(())
    }

    /// The counts so far; `None` where neither prompt nor completion has been told.
    pub fn usage(&self) -> Option<Usage> {
        self.raw.iterations.or_else(|| self.raw.disjoint(self.dialect))
    }

    /// What the provider says that the call cost, in its usage object.
    pub fn cost(&self) -> Option<PicoUsd> {
        self.cost
    }
}

/// One `usage` object, complete in itself.
pub fn read(dialect: Dialect, object: &[u8]) -> Option<Usage> {
    let mut tally = Tally::new(dialect);
    tally.take(object);
    tally.usage()
}

impl Raw {
    fn member(&mut self, reader: &mut Reader<'_>, key: &[u8]) -> Result<(), Malformed> {
        let field = match key {
            b"prompt_tokens" | b"input_tokens" => &mut self.prompt,
            b"completion_tokens" | b"output_tokens" => &mut self.completion,
            b"total_tokens" => &mut self.total,
            b"cache_read_input_tokens" | b"prompt_cache_hit_tokens" | b"cached_tokens" => &mut self.cached_read,
            b"cache_creation_input_tokens" | b"cache_write_tokens" => &mut self.cache_write,
            b"reasoning_tokens" | b"thinking_tokens" => &mut self.reasoning,
            b"prompt_tokens_details" | b"completion_tokens_details" | b"input_tokens_details" | b"output_tokens_details" => {
                return members(reader, |reader, key| self.detail(reader, key));
            }
            _ => return reader.pass(),
        };
        if let Some(count) = reader.count_or_skip()? {
            *field = Some(count);
        }
        Ok(())
    }

    fn detail(&mut self, reader: &mut Reader<'_>, key: &[u8]) -> Result<(), Malformed> {
        match key {
            b"cached_tokens" | b"cache_write_tokens" | b"reasoning_tokens" | b"thinking_tokens" => self.member(reader, key),
            _ => reader.pass(),
        }
    }

    fn disjoint(&self, dialect: Dialect) -> Option<Usage> {
        if self.prompt.is_none() && self.completion.is_none() {
            return None;
        }
        let (prompt, completion) = (self.prompt.unwrap_or(0), self.completion.unwrap_or(0));
        let (cached_read, cache_write) = (self.cached_read.unwrap_or(0), self.cache_write.unwrap_or(0));
        let reasoning = self.reasoning.unwrap_or(0);
        Some(match dialect {
            Dialect::Anthropic => Usage {
                input: prompt,
                output: completion,
                cached_read,
                cache_write,
                reasoning,
            },
            Dialect::OpenAi => {
                // xAI counts reasoning in the total only.
                let outside = self.total == Some(prompt.saturating_add(completion).saturating_add(reasoning));
                Usage {
                    input: prompt.saturating_sub(cached_read).saturating_sub(cache_write),
                    output: if outside {
                        completion.saturating_add(reasoning)
                    } else {
                        completion
                    },
                    cached_read,
                    cache_write,
                    reasoning,
                }
            }
        })
    }
}

fn read_iterations(reader: &mut Reader<'_>, dialect: Dialect) -> Result<Option<Usage>, Malformed> {
    let mut sum: Option<Usage> = None;
    items(reader, |reader| {
        let mut raw = Raw::default();
        members(reader, |reader, key| raw.member(reader, key))?;
        if let Some(part) = raw.disjoint(dialect) {
            let so_far = sum.unwrap_or_default();
            sum = Some(Usage {
                input: so_far.input.saturating_add(part.input),
                output: so_far.output.saturating_add(part.output),
                cached_read: so_far.cached_read.saturating_add(part.cached_read),
                cache_write: so_far.cache_write.saturating_add(part.cache_write),
                reasoning: so_far.reasoning.saturating_add(part.reasoning),
            });
        }
        Ok(())
    })?;
    Ok(sum)
}

/// OpenRouter: a number of dollars. Perplexity: an object with `total_cost`.
fn read_cost(reader: &mut Reader<'_>) -> Result<Option<PicoUsd>, Malformed> {
    match reader.kind()? {
        Kind::Scalar => Ok(dollars(reader.scalar())),
        Kind::Object => {
            let mut total = None;
            members(reader, |reader, key| {
                if key == b"total_cost" && reader.kind()? == Kind::Scalar {
                    total = dollars(reader.scalar());
                    return Ok(());
                }
                reader.pass()
            })?;
            Ok(total)
        }
        Kind::Array | Kind::String => reader.pass().map(|()| None),
    }
}

/// Decimal dollars to pico-dollars.
fn dollars(text: &[u8]) -> Option<PicoUsd> {
    let dollars: f64 = unescape(text)?.parse().ok()?;
    let pico = (dollars * 1e12).round();
    // Below 2⁵³ a float holds every whole number; that is nine thousand dollars for one call.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    (0.0..9e15).contains(&pico).then_some(PicoUsd(pico as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, output: u64, cached_read: u64, cache_write: u64, reasoning: u64) -> Usage {
        Usage {
            input,
            output,
            cached_read,
            cache_write,
            reasoning,
        }
    }

    #[test]
    fn openai_counts_become_disjoint() {
        let cases = [
            (
                r#"{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}"#,
                Some(usage(9, 12, 0, 0, 0)),
            ),
            (
                r#"{"prompt_tokens":100,"completion_tokens":30,"total_tokens":130,"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":10,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":1}}"#,
                Some(usage(30, 30, 60, 10, 20)),
            ),
            // DeepSeek
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6}"#,
                Some(usage(6, 5, 4, 0, 0)),
            ),
            // Moonshot
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"cached_tokens":4}"#,
                Some(usage(6, 5, 4, 0, 0)),
            ),
            // Groq
            (
                r#"{"queue_time":0.1,"prompt_tokens":10,"prompt_time":0.001,"completion_tokens":5,"total_tokens":15}"#,
                Some(usage(10, 5, 0, 0, 0)),
            ),
            // xAI: reasoning outside of the completion
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":22,"completion_tokens_details":{"reasoning_tokens":7}}"#,
                Some(usage(10, 12, 0, 0, 7)),
            ),
            // Embeddings
            (r#"{"prompt_tokens":8,"total_tokens":8}"#, Some(usage(8, 0, 0, 0, 0))),
            // Nulls and floats
            (
                r#"{"prompt_tokens":8.0,"completion_tokens":null,"prompt_tokens_details":null}"#,
                Some(usage(8, 0, 0, 0, 0)),
            ),
            // More cached than there was
            (
                r#"{"prompt_tokens":8,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}"#,
                Some(usage(0, 1, 9, 0, 0)),
            ),
            (r"{}", None),
            ("null", None),
            (r#""usage""#, None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(Dialect::OpenAi, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn anthropic_counts_are_disjoint_already() {
        let text = br#"{"input_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":5},"output_tokens":11,"output_tokens_details":{"thinking_tokens":2}}"#;
        assert_eq!(read(Dialect::Anthropic, text), Some(usage(3, 11, 7, 5, 2)));
    }

    #[test]
    fn anthropic_iterations_are_summed_and_replace_the_last_ones_counts() {
        let text =
            br#"{"input_tokens":3,"output_tokens":4,"iterations":[{"input_tokens":10,"output_tokens":1},{"input_tokens":3,"output_tokens":4}]}"#;
        assert_eq!(read(Dialect::Anthropic, text), Some(usage(13, 5, 0, 0, 0)));
    }

    #[test]
    fn cumulative_counts_replace_and_do_not_add() {
        let mut tally = Tally::new(Dialect::Anthropic);
        tally.take(br#"{"input_tokens":25,"cache_read_input_tokens":4,"output_tokens":1}"#);
        tally.take(br#"{"output_tokens":15}"#);
        tally.take(br#"{"output_tokens":17,"cache_read_input_tokens":null}"#);
        assert_eq!(tally.usage(), Some(usage(25, 17, 4, 0, 0)));
    }

    #[test]
    fn a_cost_told_by_the_provider_is_kept() {
        let cost = |text: &str| {
            let mut tally = Tally::new(Dialect::OpenAi);
            tally.take(text.as_bytes());
            tally.cost()
        };
        assert_eq!(cost(r#"{"prompt_tokens":1,"cost":0.000014}"#), Some(PicoUsd(14_000_000)));
        assert_eq!(
            cost(r#"{"cost":{"input_tokens_cost":0.1,"total_cost":1.5e-3}}"#),
            Some(PicoUsd(1_500_000_000))
        );
        assert_eq!(cost(r#"{"cost":0.1,"is_byok":true}"#), None);
        assert_eq!(cost(r#"{"cost":-1}"#), None);
        assert_eq!(cost(r#"{"cost":"free"}"#), None);
    }
}
