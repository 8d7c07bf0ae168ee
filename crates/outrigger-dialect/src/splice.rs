//! A request body with single fields changed: slices of the original with small new pieces between them. It must never touch a byte
//! outside of the fields that it is told to change.

use crate::scan::{Member, Scan};
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
        let quoted = serde_json::Value::from(model).to_string();
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
        self.take_commas();
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
                if let Some(comma) = self.comma_behind(cut.range.end) {
                    cut.range.end = comma + 1;
                } else {
                    while let Some(before) = done.pop_if(|before| before.member && self.only_space(before.range.end..cut.range.start)) {
                        cut.range.start = before.range.start;
                    }
                    cut.range.start = self.comma_before(cut.range.start).unwrap_or(cut.range.start);
                }
            }
            done.push(cut);
        }
        self.all = done;
    }

    fn comma_behind(&self, from: usize) -> Option<usize> {
        let rest = self.body.get(from..)?;
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        (rest.get(space) == Some(&b',')).then_some(from + space)
    }

    fn comma_before(&self, to: usize) -> Option<usize> {
        let before = self.body.get(..to)?.trim_ascii_end();
        before.strip_suffix(b",").map(<[u8]>::len)
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
mod tests {
    use super::*;
    use crate::scan::scan;
    use outrigger_core::Endpoint;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn spliced(body: &str, edits: &Edits<'_>) -> String {
        let body = Bytes::from(body.to_owned());
        let scan = scan(&body, Endpoint::Chat).unwrap();
        let pieces = splice(&body, &scan, edits);
        assert!(pieces.iter().all(|piece| !piece.is_empty()));
        String::from_utf8(pieces.concat()).unwrap()
    }

    const USAGE: Edits<'_> = Edits {
        model: None,
        include_usage: true,
        drop_stream_options: false,
        token_limit: None,
    };

    #[test]
    fn a_model_is_replaced_and_every_other_byte_stays() {
        let body = "{ \"a\" : [ 1.50, \"\\u0041\" ] ,\"model\":\"gp\\u0074\", \"messages\":[]\n}\n";
        let edits = Edits {
            model: Some("a\"b"),
            ..Edits::default()
        };
        assert_eq!(spliced(body, &edits), body.replace("gp\\u0074", "a\\\"b"));
        let same = Bytes::from(body);
        let edits = Edits {
            model: Some("gpt"),
            ..Edits::default()
        };
        assert_eq!(
            splice(&same, &scan(&same, Endpoint::Chat).unwrap(), &edits),
            [same.clone()],
            "the same model is no change"
        );
    }

    #[test]
    fn the_body_is_not_copied() {
        let body = Bytes::from(r#"{"x":"0123456789","model":"a","y":"0123456789"}"#);
        let edits = Edits {
            model: Some("b"),
            ..Edits::default()
        };
        let pieces = splice(&body, &scan(&body, Endpoint::Chat).unwrap(), &edits);
        let inside = |piece: &Bytes| body.as_ptr_range().contains(&piece.as_ptr());
        assert_eq!(pieces.iter().map(inside).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn usage_is_asked_for_in_every_shape_of_stream_options() {
        let rest = r#""model":"m","messages":[]"#;
        for (options, expected) in [
            ("", r#""stream_options":{"include_usage":true},"#),
            (r#""stream_options":null,"#, r#""stream_options":{"include_usage":true},"#),
            (r#""stream_options": {} ,"#, r#""stream_options": {"include_usage":true} ,"#),
            (r#""stream_options":{ },"#, r#""stream_options":{"include_usage":true },"#),
            (
                r#""stream_options":{"include_usage": false},"#,
                r#""stream_options":{"include_usage": true},"#,
            ),
            (
                r#""stream_options":{"include_usage":null, "x":1},"#,
                r#""stream_options":{"include_usage":true, "x":1},"#,
            ),
            (
                r#""stream_options":{"include_obfuscation":false},"#,
                r#""stream_options":{"include_usage":true,"include_obfuscation":false},"#,
            ),
            (
                r#""stream_options":{"include_usage":true},"#,
                r#""stream_options":{"include_usage":true},"#,
            ),
        ] {
            assert_eq!(spliced(&format!("{{{options}{rest}}}"), &USAGE), format!("{{{expected}{rest}}}"));
        }
    }

    #[test]
    fn a_token_limit_gets_the_name_that_the_target_knows() {
        let long = Edits {
            token_limit: Some(TokenLimit::MaxCompletionTokens),
            ..Edits::default()
        };
        let short = Edits {
            token_limit: Some(TokenLimit::MaxTokens),
            ..Edits::default()
        };
        for (edits, body, expected) in [
            (
                long,
                r#"{"model":"m","max_tokens":5}"#,
                r#"{"model":"m","max_completion_tokens":5}"#,
            ),
            (short, r#"{"model":"m","max_tokens":5}"#, r#"{"model":"m","max_tokens":5}"#),
            (
                short,
                r#"{"max_completion_tokens":5,"model":"m"}"#,
                r#"{"max_tokens":5,"model":"m"}"#,
            ),
            (
                short,
                r#"{"max_tokens":6,"max_completion_tokens":5,"model":"m"}"#,
                r#"{"max_tokens":5,"model":"m"}"#,
            ),
            (
                long,
                r#"{"max_completion_tokens":5,"model":"m","max_tokens":6}"#,
                r#"{"max_completion_tokens":5,"model":"m"}"#,
            ),
            (
                short,
                r#"{"model":"m","max_tokens":6,"max_completion_tokens":null}"#,
                r#"{"model":"m","max_tokens":6}"#,
            ),
            (short, r#"{"model":"m"}"#, r#"{"model":"m"}"#),
        ] {
            assert_eq!(spliced(body, &edits), expected, "{body}");
        }
    }

    #[test]
    fn neighbours_at_the_end_of_the_body_go_with_their_commas() {
        let edits = Edits {
            drop_stream_options: true,
            token_limit: Some(TokenLimit::MaxTokens),
            ..USAGE
        };
        for body in [
            r#"{"model":"m" , "stream_options":{} , "max_tokens":null }"#,
            r#"{"model":"m","max_tokens":null,"stream_options":{},"max_completion_tokens":null}"#,
        ] {
            let text = spliced(body, &edits);
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(value.get("stream_options").is_none(), "{text}");
        }
    }

    fn option_values() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(json!({})),
            Just(json!({"include_usage": false, "x": 1})),
            Just(json!({"x": [1]})),
            Just(json!({"include_usage": true})),
        ]
    }

    /// A request with its members in any order.
    fn bodies() -> impl Strategy<Value = Map<String, Value>> {
        let maybe = proptest::option::of::<BoxedStrategy<Value>>;
        let limit = || prop_oneof![Just(Value::Null), any::<u16>().prop_map(Value::from)].boxed();
        let members = (
            ".{1,8}",
            maybe(option_values().boxed()),
            maybe(limit()),
            maybe(limit()),
            maybe(".{0,9}".prop_map(Value::from).boxed()),
        );
        members
            .prop_map(|(model, options, short, long, other)| {
                let named = [
                    ("model", Some(Value::from(model))),
                    ("stream_options", options),
                    ("max_tokens", short),
                    ("max_completion_tokens", long),
                    ("other", other),
                ];
                named
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                    .collect::<Vec<_>>()
            })
            .prop_shuffle()
            .prop_map(|members| members.into_iter().collect())
    }

    /// The same edits on the parsed value.
    fn edited(mut body: Map<String, Value>, edits: &Edits<'_>) -> Map<String, Value> {
        if let Some(model) = edits.model {
            body.insert("model".to_owned(), model.into());
        }
        if edits.drop_stream_options {
            body.remove("stream_options");
        } else if edits.include_usage {
            let options = body.entry("stream_options").or_insert(Value::Null);
            if options.is_null() {
                *options = json!({});
            }
            options["include_usage"] = true.into();
        }
        if let Some(limit) = edits.token_limit {
            let (short, long) = (body.remove("max_tokens"), body.remove("max_completion_tokens"));
            let value = match (short, long) {
                (Some(short), Some(Value::Null)) => Some(short),
                (short, long) => long.or(short),
            };
            let name = if limit == TokenLimit::MaxTokens {
                "max_tokens"
            } else {
                "max_completion_tokens"
            };
            value.map(|value| body.insert(name.to_owned(), value));
        }
        body
    }

    fn edits() -> impl Strategy<Value = Edits<'static>> {
        let limit = prop_oneof![Just(TokenLimit::MaxTokens), Just(TokenLimit::MaxCompletionTokens)];
        (any::<bool>(), any::<bool>(), any::<bool>(), proptest::option::of(limit)).prop_map(|(model, include_usage, drop, token_limit)| {
            Edits {
                model: model.then_some("new \"model\""),
                include_usage,
                drop_stream_options: drop,
                token_limit,
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_spliced_body_parses_to_the_edited_value(body in bodies(), edits in edits(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
            let result = spliced(&text, &edits);
            let value: Value = serde_json::from_str(&result).map_err(|error| TestCaseError::fail(format!("{result}: {error}")))?;
            prop_assert_eq!(value, Value::Object(edited(body, &edits)), "{}", result);
            scan(result.as_bytes(), Endpoint::Chat).unwrap();
        }
    }
}
