//! A decoded call.

use super::{Block, Extra};
use outrigger_core::Dialect;
use serde_json::{Number, Value};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// The dialect that it was written in: `extra` everywhere below holds that dialect's names.
    pub source: Dialect,
    /// Instructions, apart from the conversation.
    pub system: Vec<Block>,
    /// The conversation, oldest first.
    pub turns: Vec<Turn>,
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    /// Whether several tools may be called at once.
    pub parallel_tools: Option<bool>,
    /// Most tokens to generate, thinking included.
    pub max_tokens: Option<u64>,
    pub temperature: Option<Number>,
    pub top_p: Option<Number>,
    pub top_k: Option<u64>,
    pub stop: Vec<String>,
    pub thinking: Option<Thinking>,
    pub effort: Option<Effort>,
    pub format: Option<Format>,
    /// Who the application says is behind the call.
    pub end_user: Option<String>,
    /// How many answers, where it was said.
    pub answers: Option<u64>,
    pub extra: Extra,
    /// Those of `extra` (as paths) without which the answer would not be what was asked for: a dialect that does not know them must
    /// refuse the call. All others are hints, and left out.
    pub binding: Vec<String>,
}

/// One turn of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Turn {
    /// Its number among the client's messages, for what must be said about it.
    pub index: usize,
    pub role: Role,
    pub blocks: Vec<Block>,
    pub extra: Extra,
}

/// Who speaks. A tool's answer is spoken by the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Instructions in the middle of a conversation.
    System,
    User,
    Assistant,
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tool {
    Function(Function),
    /// One that the provider runs, or that only one dialect knows.
    Hosted(Extra),
}

/// A tool that the client runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Function {
    pub name: String,
    pub description: Option<String>,
    /// JSON schema of the arguments; none = takes no arguments.
    pub schema: Option<Value>,
    pub strict: Option<bool>,
    pub cache: Option<Value>,
    pub extra: Extra,
}

/// Which tools the model may, must or must not call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    Auto,
    /// At least one.
    Any,
    None,
    /// This one.
    Named(String),
    /// Only these; `any` = at least one of them.
    Among {
        names: Vec<String>,
        any: bool,
    },
}

/// Whether the model thinks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    Off,
    /// As much as it sees fit.
    Adaptive,
    /// At most so many tokens.
    Budget(u64),
}

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

/// The form of the answer, where it is not free text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Format {
    /// Some JSON object.
    JsonObject,
    JsonSchema {
        name: Option<String>,
        description: Option<String>,
        schema: Value,
        strict: Option<bool>,
    },
}

impl Call {
    /// A call that says nothing yet.
    pub(crate) fn new(source: Dialect) -> Self {
        Self {
            source,
            system: Vec::new(),
            turns: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tools: None,
            max_tokens: None,
            temperature: None,
            top_p: None,
            top_k: None,
            stop: Vec::new(),
            thinking: None,
            effort: None,
            format: None,
            end_user: None,
            answers: None,
            extra: Extra::new(),
            binding: Vec::new(),
        }
    }
}

impl Effort {
    /// The word that both dialects use.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The effort of that name.
    pub(crate) fn named(word: &str) -> Option<Self> {
        [Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Xhigh, Self::Max]
            .into_iter()
            .find(|effort| effort.as_str() == word)
    }

    /// The thinking budget that stands for it with models that only know budgets.
    pub(crate) fn budget(self) -> u64 {
        match self {
            Self::Minimal | Self::Low => 1024,
            Self::Medium => 2048,
            Self::High => 4096,
            Self::Xhigh => 8192,
            Self::Max => 16_384,
        }
    }

    /// The effort that a budget stands for; never above high, which is the most that every reasoning model knows.
    pub(crate) fn of_budget(tokens: u64) -> Self {
        match tokens {
            0..2048 => Self::Low,
            2048..4096 => Self::Medium,
            _ => Self::High,
        }
    }
}
