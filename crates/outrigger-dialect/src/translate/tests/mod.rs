//! Fixtures, written by hand after the documented shapes, through every pair of dialects.

#![expect(clippy::wildcard_enum_match_arm, clippy::string_slice, reason = "a test that panics has failed")]

mod accumulate;
mod property;
mod replies;
mod requests;
mod streams;
mod thinking;

use super::*;
use bytes::Bytes;
use serde_json::Value;
use std::{fs, path::PathBuf};

const DIALECTS: [Dialect; 2] = [Dialect::OpenAi, Dialect::Anthropic];

fn asked() -> Asked {
    Asked {
        id: "r1".to_owned(),
        created: 1_795_000_999,
        model: "asked".to_owned(),
        include_usage: true,
    }
}

fn folder(side: &str, dialect: Dialect) -> PathBuf {
    let name = word(dialect);
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(side)
        .join(name)
        .join("fixtures")
}

fn word(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi => "openai",
        Dialect::Anthropic => "anthropic",
    }
}

/// Names of the fixtures with that ending, in order.
fn names(side: &str, dialect: Dialect, ending: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder(side, dialect))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str().unwrap().strip_suffix(ending).map(str::to_owned))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

/// A fixture without its first line, which cites where the shape is from.
fn fixture(side: &str, dialect: Dialect, file: &str) -> String {
    let text = fs::read_to_string(folder(side, dialect).join(file)).unwrap();
    let (citation, body) = text.split_once('\n').unwrap();
    assert!(citation.contains("2026-11"), "{file} does not say where it is from");
    body.to_owned()
}

/// Compares with what was found right before.
fn golden(name: String, text: &str) {
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, { insta::assert_snapshot!(name, text) });
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// What a translator makes of a stream that comes in these pieces.
struct Outcome {
    bytes: Vec<u8>,
    seen: Seen,
    end: End,
    report: Report,
}

fn run(provider: Dialect, client: Dialect, pieces: &[&[u8]], asked: &Asked) -> Outcome {
    let mut translator = Translator::new(provider, client, asked);
    let mut out = Vec::new();
    let mut all = Seen::default();
    for piece in pieces {
        let seen = translator.push(Bytes::copy_from_slice(piece), &mut out);
        assert!(seen.content || !all.content, "content is sticky");
        all = Seen {
            error: seen.error.or(all.error),
            done_at: seen.done_at.or(all.done_at),
            ..seen
        };
    }
    let end = translator.finish(&mut out);
    Outcome {
        bytes: out.concat(),
        seen: all,
        end,
        report: translator.report().clone(),
    }
}

use crate::report::{End, Seen};
