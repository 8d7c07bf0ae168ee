//! One row for each thing that a compatible provider is known to say.

use super::*;

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
