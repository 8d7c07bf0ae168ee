//! The tables: what providers say, and which class that is.

use super::body::Said;
use outrigger_core::{
    Class::{self, Auth, BadResponse, ClientError, ContentPolicy, ContextWindow, Overloaded, Quota, RateLimited, ServerError},
    Dialect,
};

/// One thing that a provider is known to say.
struct Row {
    /// The statuses with which it says so; none = whatever the status.
    at: &'static [u16],
    sign: Sign,
    class: Class,
}

enum Sign {
    /// The status alone.
    Status,
    /// One of these is its code, its type or a finer code.
    Name(&'static [&'static str]),
    /// One of these names, and its message contains one of these texts.
    NameAndText(&'static [&'static str], &'static [&'static str]),
    /// Its message contains one of these, lower case.
    Text(&'static [&'static str]),
}

/// What the tables say.
#[derive(Clone, Copy)]
pub(super) struct Verdict {
    pub(super) class: Class,
    pub(super) model_missing: bool,
}

/// Names before texts before bare statuses, and in each the provider's own rows before its dialect's. `status` 0 = not known: then names
/// and texts hold whatever their row's statuses.
pub(super) fn verdict(provider: &str, dialect: Dialect, status: u16, said: &Said) -> Verdict {
    let own = rows(provider);
    let common = match dialect {
        Dialect::OpenAi => OPENAI,
        Dialect::Anthropic => ANTHROPIC,
    };
    let first = |strength: u8| {
        let mut all = own.iter().chain(common).chain(ANY);
        all.find(|row| row.sign.strength() == strength && row.matches(status, said))
            .map(|row| row.class)
    };
    let class = (0..3).find_map(first).unwrap_or_else(|| by_status(status));
    Verdict {
        class,
        model_missing: matches!(class, ClientError | ServerError) && model_missing(provider, status, said),
    }
}

fn model_missing(provider: &str, status: u16, said: &Said) -> bool {
    let named = |name: &str| said.names.iter().any(|said| said == name);
    match provider {
        "zhipu" if named("1211") => true,
        _ if named("model_not_found") => true,
        _ => matches!(status, 0 | 404) && said.text.contains("model"),
    }
}

impl Sign {
    fn strength(&self) -> u8 {
        match self {
            Self::Name(_) | Self::NameAndText(..) => 0,
            Self::Text(_) => 1,
            Self::Status => 2,
        }
    }
}

impl Row {
    fn matches(&self, status: u16, said: &Said) -> bool {
        let is_named = |names: &[&str]| said.names.iter().any(|said| names.contains(&said.as_str()));
        let says = |texts: &[&str]| texts.iter().any(|text| said.text.contains(text));
        let (known, at) = (status != 0, self.at.contains(&status));
        match self.sign {
            Sign::Status => at,
            _ if known && !at && !self.at.is_empty() => false,
            Sign::Name(names) => is_named(names),
            Sign::NameAndText(names, texts) => is_named(names) && says(texts),
            Sign::Text(texts) => says(texts),
        }
    }
}

fn by_status(status: u16) -> Class {
    match status {
        401 | 403 => Auth,
        402 => Quota,
        408 => ServerError,
        429 => RateLimited,
        400..=499 => ClientError,
        529 => Overloaded,
        500..=599 => ServerError,
        _ => BadResponse,
    }
}

const fn row(at: &'static [u16], sign: Sign, class: Class) -> Row {
    Row { at, sign, class }
}

use Sign::{Name, NameAndText, Status, Text};

/// Statuses of a request that was judged and refused.
const REFUSED: &[u16] = &[400, 413, 422];

/// Whoever says it.
const ANY: &[Row] = &[
    // "too many tokens" is a rate limit's phrase too, hence only on 400.
    row(&[400], Text(&["too many tokens"]), ContextWindow),
    row(REFUSED, Text(CONTEXT), ContextWindow),
    row(
        &[500, 503],
        Name(&["overloaded", "overloaded_error", "engine_overloaded", "server_overloaded"]),
        Overloaded,
    ),
    row(
        &[500, 502, 503, 504],
        Text(&["overloaded", "over capacity", "at capacity", "out of capacity"]),
        Overloaded,
    ),
];

/// Phrases with which servers say that a prompt is longer than the model's window.
const CONTEXT: &[&str] = &[
    "maximum context length",
    "context_length_exceeded",
    "exceed context limit",
    "longer than the model",
    "input tokens exceed",
    "exceeds the available context size",
    "maximum number of tokens allowed",
    "prompt is too long",
];

/// OpenAI, and whoever speaks its dialect and has no other word for it.
const OPENAI: &[Row] = &[
    row(
        &[],
        Name(&[
            "insufficient_quota",
            "credit_balance_exhausted",
            "billing_hard_limit_reached",
            "billing_not_active",
        ]),
        Quota,
    ),
    row(
        &[],
        Name(&[
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
        ]),
        Quota,
    ),
    row(&[429, 503], Name(&["slow_down"]), Overloaded),
    row(&[400, 401, 403], Name(&["invalid_api_key", "authentication_error"]), Auth),
    row(REFUSED, Name(&["string_above_max_length"]), ClientError),
    row(REFUSED, Name(&["context_length_exceeded"]), ContextWindow),
    row(
        &[400, 403],
        Name(&[
            "content_policy_violation",
            "content_filter",
            "cyber_policy",
            "bio_policy",
            "moderation_blocked",
        ]),
        ContentPolicy,
    ),
    row(&[400, 403], Name(&["misalignment_policy_violation"]), ContentPolicy),
    row(&[400], Name(&["invalid_encrypted_content"]), ClientError),
    // Never to succeed on this account, however long one waits; on another it may.
    row(&[429], Text(&["request too large"]), ContextWindow),
    row(&[429], Text(&["exceeded your current quota", "check your plan and billing"]), Quota),
    row(
        &[400, 403],
        Text(&["violating our usage policy", "our safety system", "safety_system"]),
        ContentPolicy,
    ),
];

const ANTHROPIC: &[Row] = &[
    row(
        &[429],
        Name(&["enforced_spend_limit_reached", "contract_spend_limit_reached"]),
        Quota,
    ),
    row(&[], Name(&["billing_error", "organization_on_hold"]), Quota),
    row(&[400, 401, 403], Name(&["authentication_error", "permission_error"]), Auth),
    row(&[413], Name(&["request_too_large"]), ContextWindow),
    row(&[400], Text(&["credit balance", "spend limit", "usage limits"]), Quota),
    row(&[400], Text(&["content filtering policy"]), ContentPolicy),
    row(&[413], Status, ContextWindow),
];

/// A provider's own rows, by the catalogue's name of it.
fn rows(provider: &str) -> &'static [Row] {
    match provider {
        "mistral" => MISTRAL,
        "groq" => GROQ,
        "together" => TOGETHER,
        "fireworks" => FIREWORKS,
        "xai" => XAI,
        "openrouter" => OPENROUTER,
        "dashscope" => DASHSCOPE,
        "moonshot" => MOONSHOT,
        "zhipu" => ZHIPU,
        "minimax" => MINIMAX,
        "cerebras" => CEREBRAS,
        "ollama" => OLLAMA,
        // DeepSeek, Perplexity, vLLM and SGLang say nothing that their dialect does not.
        _ => &[],
    }
}

const MISTRAL: &[Row] = &[
    row(&[429], Text(&["capacity exceeded"]), Overloaded),
    row(REFUSED, Text(&["too large for model"]), ContextWindow),
];

const GROQ: &[Row] = &[
    row(&[498], Status, Overloaded),
    row(&[400, 413, 429], Text(&["reduce your message size"]), ContextWindow),
    row(&[413], Status, ContextWindow),
    // The model wrote a call that cannot be read: not the caller's doing, and another try may do better.
    row(&[400], Name(&["tool_use_failed"]), BadResponse),
    row(&[424], Status, ClientError),
];

const TOGETHER: &[Row] = &[
    row(
        &[400, 403, 422],
        Text(&["tokens + max_new_tokens", "tokens + `max_new_tokens`"]),
        ContextWindow,
    ),
    row(&[403], Status, ContextWindow),
];

const FIREWORKS: &[Row] = &[
    // A suspended account, or an adapter that cannot be loaded.
    row(&[412], Status, Quota),
    // Not deployed, or still being so.
    row(&[404, 425], Status, ServerError),
];

const XAI: &[Row] = &[
    row(&[400], Text(&["incorrect api key"]), Auth),
    row(&[403, 429], Text(&["credits", "spending limit"]), Quota),
];

const OPENROUTER: &[Row] = &[
    row(&[402], Name(&["in_flight_budget"]), RateLimited),
    row(&[], Name(&["rate_limit_exceeded"]), RateLimited),
    row(&[], Name(&["provider_overloaded"]), Overloaded),
    row(&[], Name(&["provider_unavailable", "server", "timeout"]), ServerError),
    row(&[], Name(&["context_length_exceeded", "token_limit"]), ContextWindow),
    row(&[], Name(&["content_policy_violation", "refusal"]), ContentPolicy),
    row(&[403], Name(&["guardrail"]), ContentPolicy),
    row(&[403], Text(&["guardrail", "moderation"]), ContentPolicy),
];

const DASHSCOPE: &[Row] = &[
    row(
        &[],
        NameAndText(
            &["throttling.allocationquota", "insufficient_quota"],
            &["free tier", "free quota", "free allocated quota"],
        ),
        Quota,
    ),
    row(
        &[],
        Name(&[
            "throttling",
            "throttling.ratequota",
            "throttling.allocationquota",
            "insufficient_quota",
        ]),
        RateLimited,
    ),
    row(&[], Name(&["arrearage"]), Quota),
    row(&[], Name(&["accessdenied", "access_denied", "invalidapikey"]), Auth),
    row(&[], Name(&["data_inspection_failed", "datainspectionfailed"]), ContentPolicy),
    row(&[], Text(&["requests rate limit", "increased too quickly"]), RateLimited),
    row(REFUSED, Text(&["range of input length"]), ContextWindow),
];

const MOONSHOT: &[Row] = &[
    row(&[429], Name(&["engine_overloaded_error", "engine_overloaded"]), Overloaded),
    row(&[], Name(&["exceeded_current_quota_error", "exceeded_current_quota"]), Quota),
    row(&[402, 403, 429], Text(&["balance"]), Quota),
    row(&[429], Text(&["overloaded"]), Overloaded),
    row(
        REFUSED,
        Text(&["exceeded model token limit", "token length too long"]),
        ContextWindow,
    ),
];

/// All of Zhipu's refusals share 429 or 400: the code tells.
const ZHIPU: &[Row] = &[
    row(&[], Name(&["1302", "1303", "1305"]), RateLimited),
    row(&[], Name(&["1312"]), Overloaded),
    row(&[], Name(&["1304", "1308", "1310", "1113", "1309", "1311", "1313"]), Quota),
    row(
        &[],
        Name(&["1110", "1111", "1112", "1120", "1121", "1000", "1001", "1002", "1003", "1004"]),
        Auth,
    ),
    row(&[], Name(&["1301"]), ContentPolicy),
    row(&[], Name(&["1261"]), ContextWindow),
    row(&[], Name(&["1210", "1211", "1212", "1213", "1214", "1215"]), ClientError),
    row(&[], Name(&["1234", "500"]), ServerError),
];

/// `base_resp.status_code`
const MINIMAX: &[Row] = &[
    row(&[], Name(&["1002", "1039"]), RateLimited),
    row(&[], Name(&["1004", "2049"]), Auth),
    row(&[], Name(&["1008"]), Quota),
    row(&[], Name(&["1026", "1027"]), ContentPolicy),
    row(&[], Name(&["1000", "1001", "1024", "1033"]), ServerError),
    row(&[], Name(&["2013"]), ClientError),
];

const CEREBRAS: &[Row] = &[
    row(&[429], Name(&["token_quota_reached"]), RateLimited),
    row(REFUSED, Text(&["while limit is"]), ContextWindow),
];

/// A model that was not pulled: this server's lack, not the caller's.
const OLLAMA: &[Row] = &[row(&[404], Status, ServerError)];
