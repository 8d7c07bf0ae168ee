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
fn mistral() {
    let flat = r#"{"object":"error","message":"Prompt contains 40000 tokens, too large for model with 32768 maximum context","type":"invalid_request_error","param":null,"code":"3051"}"#;
    check(
        "mistral",
        OpenAi,
        &[
            (429, r#"{"message":"Requests rate limit exceeded"}"#, RateLimited),
            (
                429,
                r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","code":"3505"}"#,
                Overloaded,
            ),
            (401, r#"{"detail":"Unauthorized"}"#, Auth),
            (402, "", Quota),
            (403, "", Auth),
            (400, flat, ContextWindow),
            (
                400,
                r#"{"object":"error","message":"bad role","type":"invalid_request_error"}"#,
                ClientError,
            ),
            (
                422,
                r#"{"detail":[{"type":"extra_forbidden","msg":"Extra inputs are not permitted"}]}"#,
                ClientError,
            ),
        ],
    );
}

#[test]
fn deepseek() {
    check(
        "deepseek",
        OpenAi,
        &[
            (
                401,
                e!("authentication_error", "invalid_request_error", "Authentication Fails"),
                Auth,
            ),
            (402, e!("unknown_error", "invalid_request_error", "Insufficient Balance"), Quota),
            (429, "", RateLimited),
            (500, "", ServerError),
            (503, "", ServerError),
            (400, e!("invalid_request_error", "invalid_request_error", "bad"), ClientError),
            (422, "", ClientError),
        ],
    );
}

#[test]
fn groq() {
    check(
        "groq",
        OpenAi,
        &[
            (
                429,
                e!("tokens", "rate_limit_exceeded", "Rate limit reached. Please try again in 7.66s."),
                RateLimited,
            ),
            (401, "", Auth),
            (498, e!("", "capacity_exceeded", "m"), Overloaded),
            (413, e!("tokens", "rate_limit_exceeded", "Request too large"), ContextWindow),
            (
                429,
                e!("tokens", "rate_limit_exceeded", "please reduce your message size and try again"),
                ContextWindow,
            ),
            (
                400,
                e!("invalid_request_error", "", "Please reduce your message size"),
                ContextWindow,
            ),
            (424, "", ClientError),
            (
                400,
                e!("invalid_request_error", "tool_use_failed", "Failed to call a function"),
                BadResponse,
            ),
            (400, e!("invalid_request_error", "", "m"), ClientError),
        ],
    );
}

#[test]
fn together() {
    check(
        "together",
        OpenAi,
        &[
            (429, "", RateLimited),
            (401, "", Auth),
            (402, "", Quota),
            (403, "", ContextWindow),
            (
                422,
                e!(
                    "invalid_request_error",
                    "",
                    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097"
                ),
                ContextWindow,
            ),
            (500, "", ServerError),
            (503, "", ServerError),
            (524, "", ServerError),
        ],
    );
}

#[test]
fn fireworks() {
    check(
        "fireworks",
        OpenAi,
        &[
            (429, "", RateLimited),
            (401, "", Auth),
            (402, "", Quota),
            (403, "", Auth),
            (412, "", Quota),
            (
                404,
                e!("", "NOT_FOUND", "Model not found, inaccessible, and/or not deployed"),
                ServerError,
            ),
            (425, "", ServerError),
            (500, "", ServerError),
        ],
    );
}

#[test]
fn xai() {
    check(
        "xai",
        OpenAi,
        &[
            (
                400,
                r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***zz."}"#,
                Auth,
            ),
            (403, r#"{"code":"x","error":"Your team has used all available credits"}"#, Quota),
            (429, r#"{"code":"x","error":"... or reached its monthly spending limit"}"#, Quota),
            (429, r#"{"code":"x","error":"Too many requests"}"#, RateLimited),
            (403, r#"{"code":"x","error":"forbidden"}"#, Auth),
            (500, "", ServerError),
            (400, r#"{"code":"x","error":"Argument not supported: stop"}"#, ClientError),
        ],
    );
}

#[test]
fn openrouter() {
    let meta = |code: u16, kind: &str, message: &str| {
        format!(
            r#"{{"error":{{"code":{code},"message":"{message}","metadata":{{"error_type":"{kind}","provider_name":"X"}}}},"user_id":"u"}}"#
        )
    };
    for (status, kind, class) in [
        (429, "rate_limit_exceeded", RateLimited),
        (503, "provider_overloaded", Overloaded),
        (502, "provider_unavailable", ServerError),
        (500, "server", ServerError),
        (408, "timeout", ServerError),
        (400, "context_length_exceeded", ContextWindow),
        (400, "token_limit", ContextWindow),
        (403, "content_policy_violation", ContentPolicy),
        (400, "refusal", ContentPolicy),
        (402, "in_flight_budget", RateLimited),
        (402, "credits", Quota),
        (401, "auth", Auth),
        (403, "guardrail", ContentPolicy),
        (403, "key", Auth),
        (408, "", ServerError),
        (502, "", ServerError),
        (503, "", ServerError),
        (529, "", Overloaded),
    ] {
        let body = meta(status, kind, "m");
        check("openrouter", OpenAi, &[(status, &body, class)]);
        assert_eq!(
            classify_stream_error("openrouter", OpenAi, body.as_bytes()).class,
            class,
            "in a 200: {body}"
        );
    }
    check(
        "openrouter",
        OpenAi,
        &[(403, &meta(403, "", "Blocked by a guardrail"), ContentPolicy)],
    );
}

#[test]
fn dashscope() {
    check(
        "dashscope",
        OpenAi,
        &[
            (
                429,
                r#"{"code":"Throttling.RateQuota","message":"Requests rate limit exceeded","request_id":"r"}"#,
                RateLimited,
            ),
            (
                429,
                e!("", "limit_requests", "Requests rate limit exceeded, please try again later."),
                RateLimited,
            ),
            (429, e!("", "", "Request rate increased too quickly."), RateLimited),
            (
                429,
                r#"{"code":"Throttling.AllocationQuota","message":"Allocated quota exceeded, please increase your quota limit."}"#,
                RateLimited,
            ),
            (
                429,
                e!("insufficient_quota", "insufficient_quota", "You exceeded your current quota: TPM"),
                RateLimited,
            ),
            (
                429,
                r#"{"code":"Throttling.AllocationQuota","message":"Free allocated quota exceeded."}"#,
                Quota,
            ),
            (
                403,
                e!(
                    "insufficient_quota",
                    "insufficient_quota",
                    "The free tier of the model has been exhausted"
                ),
                Quota,
            ),
            (
                400,
                r#"{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing."}"#,
                Quota,
            ),
            (400, r#"{"code":"AccessDenied","message":"m"}"#, Auth),
            (401, r#"{"code":"InvalidApiKey","message":"Invalid API-key provided."}"#, Auth),
            (
                400,
                e!(
                    "data_inspection_failed",
                    "data_inspection_failed",
                    "Input data may contain inappropriate content."
                ),
                ContentPolicy,
            ),
            (
                400,
                e!(
                    "invalid_request_error",
                    "invalid_parameter_error",
                    "Range of input length should be [1, 129024]"
                ),
                ContextWindow,
            ),
            (400, e!("invalid_request_error", "invalid_parameter_error", "m"), ClientError),
        ],
    );
}

#[test]
fn moonshot() {
    check(
        "moonshot",
        OpenAi,
        &[
            (
                429,
                r#"{"error":{"type":"engine_overloaded_error","message":"The engine is currently overloaded, please try again later"}}"#,
                Overloaded,
            ),
            (429, r#"{"error":{"message":"The engine is currently overloaded"}}"#, Overloaded),
            (
                429,
                r#"{"error":{"type":"rate_limit_reached_error","message":"max RPM: 3, please try again after 1 seconds"}}"#,
                RateLimited,
            ),
            (429, r#"{"error":{"type":"exceeded_current_quota_error","message":"m"}}"#, Quota),
            (403, r#"{"error":{"message":"Your account balance is insufficient"}}"#, Quota),
            (402, "", Quota),
            (401, r#"{"error":{"type":"invalid_authentication_error","message":"m"}}"#, Auth),
            (400, r#"{"error":{"type":"content_filter","message":"high risk"}}"#, ContentPolicy),
            (
                400,
                r#"{"error":{"type":"invalid_request_error","message":"Your request exceeded model token limit: 8192"}}"#,
                ContextWindow,
            ),
            (
                400,
                r#"{"error":{"type":"invalid_request_error","message":"Input token length too long"}}"#,
                ContextWindow,
            ),
        ],
    );
}

#[test]
fn zhipu() {
    let rows: [(&[u16], Class); 11] = [
        (&[1302, 1303, 1305], RateLimited),
        (&[1312], Overloaded),
        (&[1304, 1308, 1310], Quota),
        (&[1113, 1309, 1311, 1313], Quota),
        (&[1110, 1111, 1112, 1120, 1121], Auth),
        (&[1000, 1001, 1002, 1003, 1004], Auth),
        (&[1301], ContentPolicy),
        (&[1261], ContextWindow),
        (&[1211], ClientError),
        (&[1210, 1212, 1213, 1214, 1215], ClientError),
        (&[1234, 500], ServerError),
    ];
    for (codes, class) in rows {
        for code in codes {
            let body = format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
            check("zhipu", OpenAi, &[(429, &body, class), (400, &body, class)]);
            assert_eq!(told("zhipu", OpenAi, 400, &body).model_missing, *code == 1211);
        }
    }
}

#[test]
fn minimax() {
    for (code, class) in [
        (1002, RateLimited),
        (1039, RateLimited),
        (1004, Auth),
        (1008, Quota),
        (2049, Auth),
        (1026, ContentPolicy),
        (1027, ContentPolicy),
        (1000, ServerError),
        (1001, ServerError),
        (1024, ServerError),
        (1033, ServerError),
        (2013, ClientError),
    ] {
        let body = format!(r#"{{"choices":null,"base_resp":{{"status_code":{code},"status_msg":"m"}}}}"#);
        assert_eq!(classify_stream_error("minimax", OpenAi, body.as_bytes()).class, class, "{body}");
        check("minimax", OpenAi, &[(200, &body, class)]);
    }
}

#[test]
fn perplexity_cerebras_ollama_and_vllm() {
    for provider in ["perplexity", "cerebras", "ollama", "vllm"] {
        check(provider, OpenAi, &[(429, "", RateLimited), (503, "", ServerError)]);
    }
    check(
        "cerebras",
        OpenAi,
        &[
            (
                429,
                r#"{"message":"Tokens per minute limit exceeded","type":"too_many_tokens_error","param":"quota","code":"token_quota_reached"}"#,
                RateLimited,
            ),
            (
                400,
                r#"{"message":"Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192","type":"invalid_request_error"}"#,
                ContextWindow,
            ),
        ],
    );
    check(
        "ollama",
        OpenAi,
        &[
            (
                404,
                r#"{"error":{"message":"model 'x' not found","type":"api_error","code":null}}"#,
                ServerError,
            ),
            (404, r#"{"error":"model 'x' not found"}"#, ServerError),
        ],
    );
    check(
        "vllm",
        OpenAi,
        &[
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","param":null,"code":400}"#,
                ContextWindow,
            ),
            (
                400,
                r#"{"error":{"message":"The decoder prompt is longer than the model's context length","type":"BadRequestError","code":400}}"#,
                ContextWindow,
            ),
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
