use super::*;
use Class::{Auth, BadResponse, ClientError, ContentPolicy, ContextWindow, Overloaded, Quota, RateLimited, ServerError};
use Dialect::{Anthropic, OpenAi};

fn told(provider: &str, dialect: Dialect, status: u16, body: &str) -> Classified {
    let head = Head {
        status,
        header: &|_| None,
        now_unix_ms: 0,
    };
    classify(provider, dialect, &head, body.as_bytes())
}

fn check(provider: &str, dialect: Dialect, rows: &[(u16, &str, Class)]) {
    for (status, body, class) in rows {
        assert_eq!(told(provider, dialect, *status, body).class, *class, "{provider} {status} {body}");
    }
}

/// An OpenAI error body.
macro_rules! e {
    ($kind:literal, $code:literal, $message:literal) => {
        concat!(
            r#"{"error":{"message":""#,
            $message,
            r#"","type":""#,
            $kind,
            r#"","param":null,"code":""#,
            $code,
            r#""}}"#
        )
    };
}

/// An Anthropic error body.
macro_rules! a {
    ($kind:literal, $code:literal, $message:literal) => {
        concat!(
            r#"{"type":"error","error":{"type":""#,
            $kind,
            r#"","message":""#,
            $message,
            r#"","details":{"error_code":""#,
            $code,
            r#""}},"request_id":"r"}"#
        )
    };
}

mod providers;

#[test]
fn any_provider() {
    for (provider, dialect) in [
        ("custom", OpenAi),
        ("openai", OpenAi),
        ("anthropic", Anthropic),
        ("vllm", Anthropic),
    ] {
        check(
            provider,
            dialect,
            &[
                (500, "", ServerError),
                (502, "<html>bad gateway</html>", ServerError),
                (503, "", ServerError),
                (503, "The server is overloaded", Overloaded),
                (504, "null", ServerError),
                (520, "[]", ServerError),
                (524, "{}", ServerError),
                (529, "", Overloaded),
                (408, "", ServerError),
                (429, "", RateLimited),
                (401, "", Auth),
                (402, "", Quota),
                (403, "", Auth),
                (400, "{", ClientError),
                (404, "", ClientError),
                (405, "", ClientError),
                (409, "", ClientError),
                (415, "", ClientError),
                (422, r#"{"detail":[{"loc":["body"],"msg":"extra"}]}"#, ClientError),
                (302, "", BadResponse),
                (200, "", BadResponse),
                (0, "", BadResponse),
            ],
        );
    }
}

const OPENAI: &[(u16, &str, Class)] = &[
    (
        429,
        e!("requests", "rate_limit_exceeded", "Rate limit reached. Please try again in 1.2s."),
        RateLimited,
    ),
    (
        429,
        e!("tokens", "rate_limit_exceeded", "Rate limit reached for tokens"),
        RateLimited,
    ),
    (429, e!("requests", "slow_down", "m"), Overloaded),
    (503, e!("server_error", "slow_down", "m"), Overloaded),
    (
        429,
        e!("insufficient_quota", "insufficient_quota", "You exceeded your current quota"),
        Quota,
    ),
    (429, e!("insufficient_quota", "credit_balance_exhausted", "m"), Quota),
    (429, e!("insufficient_quota", "organization_spend_limit_exceeded", "m"), Quota),
    (429, e!("billing", "project_spend_limit_exceeded", "m"), Quota),
    (429, e!("billing", "organization_usage_limit_exceeded", "m"), Quota),
    (
        401,
        e!("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-x"),
        Auth,
    ),
    (403, e!("invalid_request_error", "unsupported_country_region_territory", "m"), Auth),
    (
        429,
        e!(
            "tokens",
            "rate_limit_exceeded",
            "Request too large for gpt-4o: Limit 30000, Requested 99999"
        ),
        ContextWindow,
    ),
    (400, e!("invalid_request_error", "context_length_exceeded", "m"), ContextWindow),
    (
        400,
        e!("invalid_request_error", "", "This model's maximum context length is 8192 tokens"),
        ContextWindow,
    ),
    (
        400,
        e!("invalid_request_error", "string_above_max_length", "exceeds maximum context length"),
        ClientError,
    ),
    (400, e!("invalid_request_error", "content_policy_violation", "m"), ContentPolicy),
    (
        400,
        e!(
            "invalid_request_error",
            "invalid_prompt",
            "flagged as potentially violating our usage policy"
        ),
        ContentPolicy,
    ),
    (400, e!("invalid_request_error", "invalid_prompt", "malformed"), ClientError),
    (400, e!("invalid_request_error", "cyber_policy", "m"), ContentPolicy),
    (
        400,
        e!(
            "invalid_request_error",
            "",
            "Your request was rejected as a result of our safety system"
        ),
        ContentPolicy,
    ),
    (
        404,
        e!("invalid_request_error", "model_not_found", "The model does not exist"),
        ClientError,
    ),
    (400, e!("invalid_request_error", "invalid_encrypted_content", "m"), ClientError),
    (500, e!("server_error", "", "m"), ServerError),
    (503, e!("server_error", "", "The engine is currently overloaded"), Overloaded),
    (400, e!("invalid_request_error", "unsupported_parameter", "m"), ClientError),
];

#[test]
fn openai() {
    check("openai", OpenAi, OPENAI);
}

#[test]
fn anthropic() {
    check(
        "anthropic",
        Anthropic,
        &[
            (429, a!("rate_limit_error", "", "m"), RateLimited),
            (429, a!("rate_limit_error", "ramp_limit_exceeded", "m"), RateLimited),
            (429, a!("rate_limit_error", "enforced_spend_limit_reached", "m"), Quota),
            (429, a!("rate_limit_error", "contract_spend_limit_reached", "m"), Quota),
            (402, a!("billing_error", "linked_organization_unpaid", "m"), Quota),
            (401, a!("authentication_error", "", "invalid x-api-key"), Auth),
            (403, a!("permission_error", "", "m"), Auth),
            (400, a!("invalid_request_error", "organization_on_hold", "m"), Quota),
            (400, a!("invalid_request_error", "", "Your credit balance is too low"), Quota),
            (
                400,
                a!("invalid_request_error", "", "You have reached your specified API usage limits"),
                Quota,
            ),
            (400, a!("invalid_request_error", "", "the workspace spend limit is reached"), Quota),
            (529, a!("overloaded_error", "", "Overloaded"), Overloaded),
            (500, a!("api_error", "", "m"), ServerError),
            (504, a!("timeout_error", "", "m"), ServerError),
            (503, a!("api_error", "cmek_unavailable", "m"), ServerError),
            (
                400,
                a!("invalid_request_error", "", "prompt is too long: 200001 tokens > 200000 maximum"),
                ContextWindow,
            ),
            (
                400,
                a!("invalid_request_error", "", "input length and `max_tokens` exceed context limit"),
                ContextWindow,
            ),
            (413, a!("request_too_large", "", "m"), ContextWindow),
            (413, "<html>", ContextWindow),
            (
                400,
                a!("invalid_request_error", "", "Output blocked by content filtering policy"),
                ContentPolicy,
            ),
            (400, a!("invalid_request_error", "", "messages: roles must alternate"), ClientError),
            (404, a!("not_found_error", "", "model: claude-9"), ClientError),
            (409, a!("conflict_error", "", "m"), ClientError),
        ],
    );
}

#[test]
fn unknown_servers_say_that_a_prompt_is_too_long_in_known_phrases() {
    for phrase in [
        "Maximum context length is 5",
        "error: context_length_exceeded",
        "would exceed context limit",
        "longer than the model's context length",
        "input tokens exceed the configured limit",
        "the request exceeds the available context size",
        "above the maximum number of tokens allowed",
        "Too many tokens",
        "prompt is too long",
    ] {
        check(
            "custom",
            OpenAi,
            &[
                (400, &format!(r#"{{"error":{{"message":"{phrase}"}}}}"#), ContextWindow),
                (400, phrase, ContextWindow),
            ],
        );
    }
    check(
        "custom",
        OpenAi,
        &[(429, r#"{"error":{"message":"Too many tokens, please wait"}}"#, RateLimited)],
    );
}

#[test]
fn digits_and_words_of_an_echoed_prompt_are_no_signal() {
    check(
        "openai",
        OpenAi,
        &[
            (
                400,
                e!(
                    "invalid_request_error",
                    "invalid_value",
                    "Invalid value: '429 rate_limit_exceeded 503 insufficient_quota'"
                ),
                ClientError,
            ),
            (401, e!("invalid_request_error", "invalid_api_key", "maximum context length"), Auth),
            (500, e!("server_error", "", "prompt is too long"), ServerError),
        ],
    );
    let elsewhere = r#"{"error":{"message":"bad","code":"invalid_value"},"prompt":"prompt is too long"}"#;
    check("openai", OpenAi, &[(400, elsewhere, ClientError)]);
}

#[test]
fn an_error_inside_a_stream_gets_the_class_of_the_status_that_it_stands_for() {
    for (provider, dialect, data, class) in [
        ("anthropic", Anthropic, a!("overloaded_error", "", "Overloaded"), Overloaded),
        ("anthropic", Anthropic, a!("api_error", "", "m"), ServerError),
        ("anthropic", Anthropic, a!("rate_limit_error", "", "m"), RateLimited),
        (
            "anthropic",
            Anthropic,
            a!("rate_limit_error", "enforced_spend_limit_reached", "m"),
            Quota,
        ),
        ("anthropic", Anthropic, a!("authentication_error", "", "m"), Auth),
        (
            "anthropic",
            Anthropic,
            a!("invalid_request_error", "", "prompt is too long"),
            ContextWindow,
        ),
        ("openai", OpenAi, e!("server_error", "", "The server had an error"), ServerError),
        (
            "openai",
            OpenAi,
            e!("invalid_request_error", "context_length_exceeded", "m"),
            ContextWindow,
        ),
        ("openai", OpenAi, e!("requests", "rate_limit_exceeded", "m"), RateLimited),
        ("openai", OpenAi, e!("insufficient_quota", "insufficient_quota", "m"), Quota),
        ("openai", OpenAi, r#"{"error":{"message":"m"}}"#, BadResponse),
        (
            "vllm",
            OpenAi,
            r#"{"object":"error","message":"m","type":"InternalServerError","code":500}"#,
            ServerError,
        ),
        ("cerebras", OpenAi, r#"{"error":{"message":"m"},"status_code":503}"#, ServerError),
        ("xai", OpenAi, r#"{"code":"x","error":"You have run out of credits"}"#, Quota),
        ("groq", OpenAi, r#"{"id":"g","x_groq":{"error":"over capacity"}}"#, BadResponse),
        ("openai", OpenAi, "garbage", BadResponse),
    ] {
        assert_eq!(
            classify_stream_error(provider, dialect, data.as_bytes()).class,
            class,
            "{provider} {data}"
        );
    }
}

#[test]
fn only_what_the_caller_can_mend_is_told_and_without_keys() {
    let refused = told(
        "openai",
        OpenAi,
        400,
        r#"{"error":{"message":"Bad key sk-canary123456","type":"invalid_request_error","param":"tools","code":"invalid_value"}}"#,
    );
    assert_eq!(
        refused,
        Classified {
            class: ClientError,
            wait: None,
            code: Some("invalid_value".to_owned()),
            kind: Some("invalid_request_error".to_owned()),
            param: Some("tools".to_owned()),
            message: Some("Bad key [redacted]".to_owned()),
            model_missing: false,
        }
    );
    for status in [401, 402, 403, 429, 500, 503] {
        assert_eq!(
            told("openai", OpenAi, status, e!("", "", "sk-canary123456 at 10.0.0.1")).message,
            None,
            "{status}"
        );
    }
    assert_eq!(
        told("custom", OpenAi, 400, "<html>10.0.0.1</html>").message,
        None,
        "a page is not for the caller"
    );
    assert_eq!(
        told("vllm", OpenAi, 400, r#"{"object":"error","message":"m","code":400}"#).code,
        None,
        "a number is no code"
    );
}

#[test]
fn a_missing_model_is_told_apart() {
    assert!(told("openai", OpenAi, 404, e!("invalid_request_error", "model_not_found", "m")).model_missing);
    assert!(told("anthropic", Anthropic, 404, a!("not_found_error", "", "model: claude-9")).model_missing);
    assert!(told("ollama", OpenAi, 404, r#"{"error":{"message":"model 'x' not found"}}"#).model_missing);
    assert!(!told("openai", OpenAi, 404, e!("invalid_request_error", "", "Unknown URL")).model_missing);
    assert!(!told("openai", OpenAi, 400, e!("invalid_request_error", "", "this model cannot do that")).model_missing);
}

#[test]
fn a_wait_is_told_by_header_or_text() {
    let head = Head {
        status: 429,
        header: &|name| (name == "retry-after").then_some("3"),
        now_unix_ms: 0,
    };
    assert_eq!(classify("openai", OpenAi, &head, b"").wait, Some(Duration::from_secs(3)));
    assert_eq!(
        told("openai", OpenAi, 429, e!("", "", "Please try again in 1.2s.")).wait,
        Some(Duration::from_millis(1200))
    );
    let in_stream = classify_stream_error(
        "openai",
        OpenAi,
        e!("", "rate_limit_exceeded", "Please try again in 250ms.").as_bytes(),
    );
    assert_eq!(in_stream.wait, Some(Duration::from_millis(250)));
    assert_eq!(classify("openai", OpenAi, &Head { status: 400, ..head }, b"").wait, None);
}

proptest::proptest! {
    #[test]
    fn any_body_is_survived(status: u16, body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60), json in r#"\{"(error|code|message|type|metadata|base_resp)":[\{\}"a0\[\]:,]{0,12}\}"#) {
        for body in [body.as_slice(), json.as_bytes()] {
            let head = Head { status, header: &|_| None, now_unix_ms: 0 };
            let _ = (classify("openrouter", OpenAi, &head, body), classify_stream_error("minimax", Anthropic, body));
        }
    }
}
