//! A provider's message made fit for the caller: nothing that looks like a key, and no address of a host inside somebody's network. It
//! errs on the side of taking out too much.

/// What stands in place of what was taken out.
const GONE: &str = "[redacted]";

/// Longest message that is handed on, in characters.
const MAX_CHARS: usize = 2000;

/// How keys of known providers begin.
const KEY_PREFIXES: [&str; 12] = [
    "sk-", "pk-", "rk-", "gsk_", "xai-", "fw_", "pplx-", "csk-", "hf_", "r8_", "AIza", "sess-",
];

/// Without keys and internal hosts, and not longer than 2,000 characters.
pub(super) fn scrub(message: &str) -> String {
    let mut clean = String::with_capacity(message.len());
    let mut rest = message;
    let mut after_bearer = false;
    while let Some(start) = rest.find(is_word) {
        let (between, behind) = rest.split_at(start);
        let (word, behind) = behind.split_at(behind.find(|c| !is_word(c)).unwrap_or(behind.len()));
        clean.push_str(between);
        let only_space = between.chars().all(char::is_whitespace);
        if (after_bearer && only_space) || is_secret(word) {
            clean.push_str(GONE);
        } else {
            clean.push_str(word);
        }
        after_bearer = word.eq_ignore_ascii_case("bearer");
        rest = behind;
    }
    clean.push_str(rest);
    match clean.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => clean.get(..end).unwrap_or_default().to_owned() + "…",
        None => clean,
    }
}

/// Characters of which keys and addresses are made.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '*' | '+' | '=' | '@' | '%' | '?' | '&' | '~')
}

fn is_secret(word: &str) -> bool {
    let pieces = || word.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*')));
    KEY_PREFIXES
        .iter()
        .any(|prefix| pieces().any(|piece| piece.len() >= prefix.len() + 4 && piece.starts_with(prefix)))
        || pieces().any(|piece| piece.contains("***"))
        || pieces().flat_map(|piece| piece.split(['-', '_'])).any(is_random)
        || is_internal(word)
}

/// A long run of letters and digits: a key, a token, a hash. Names of models and fields are cut up by dashes or lack digits.
fn is_random(run: &str) -> bool {
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    run.len() >= 20 && digits >= 2 && digits < run.len()
}

/// An address that is not a public web page's: one with a user, a port or a query, a bare IP address, a host without a public name.
fn is_internal(word: &str) -> bool {
    let (scheme, rest) = match word.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, word),
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default().trim_end_matches(['.', ':']);
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_ip = name.split('.').count() == 4 && name.split('.').all(|part| part.parse::<u8>().is_ok());
    let inside = [".local", ".internal", ".svc", ".lan", ".corp", ".intranet", ".localdomain"];
    let private = name == "localhost" || inside.iter().any(|end| name.ends_with(end)) || name.contains(".svc.");
    is_ip || private || (scheme && (name.len() != host.len() || rest.contains(['@', '?']) || !name.contains('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_internal_hosts_are_taken_out() {
        for (message, clean) in [
            (
                "Incorrect API key provided: sk-proj-abcd1234.",
                "Incorrect API key provided: [redacted]",
            ),
            (
                "Incorrect API key provided: sk-ab***********************wxyz. You can",
                "Incorrect API key provided: [redacted] You can",
            ),
            ("key ab12****** is bad", "key [redacted] is bad"),
            ("Authorization: Bearer abc", "Authorization: Bearer [redacted]"),
            ("token=0123456789abcdef0123456789abcdef", "[redacted]"),
            ("(gsk_abcdefgh)", "([redacted])"),
            ("POST http://10.0.0.5:8000/v1 failed", "POST [redacted] failed"),
            ("at 192.168.1.7:8000", "at [redacted]"),
            ("http://vllm.models.svc.cluster.local/v1", "[redacted]"),
            ("vllm.models.svc:8000", "[redacted]"),
            ("http://vllm/v1", "[redacted]"),
            ("https://user:pw@example.com/", "[redacted]"),
            ("https://example.com/?key=1", "[redacted]"),
        ] {
            assert_eq!(scrub(message), clean, "{message}");
        }
    }

    #[test]
    fn what_a_caller_needs_stays() {
        for message in [
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130002 tokens.",
            "model: claude-3-5-sonnet-20241022",
            "The model `accounts/fireworks/models/llama-v3p1-405b-instruct` does not exist",
            "Invalid 'tools[0].function.name': string does not match '^[a-zA-Z0-9_-]+$'. See https://platform.openai.com/docs/guides.",
            "Unsupported value: 'temperature' does not support 0.2 with gpt-5-2025-08-07. 中文 – ok?",
            "messages.1.content.0.text.cache_control.ephemeral.ttl: bad",
            "prompt is too long: 215123 tokens > 200000 maximum",
            "",
        ] {
            assert_eq!(scrub(message), message);
        }
    }

    #[test]
    fn a_long_message_is_cut() {
        let long = "ü ".repeat(5000);
        assert_eq!(scrub(&long).chars().count(), MAX_CHARS + 1);
    }

    proptest::proptest! {
        #[test]
        fn a_key_is_gone_wherever_it_stands(before in "\\PC{0,20}", after in "\\PC{0,20}") {
            let key = "sk-canary0123456789canary";
            let text = format!("{before}{key}{after}");
            proptest::prop_assert!(!scrub(&text).contains(key));
        }
    }
}
