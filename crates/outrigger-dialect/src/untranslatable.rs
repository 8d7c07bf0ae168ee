//! Why a call cannot be put into another dialect. The sentence goes to the client as it is, so it must never carry anything of the
//! provider's.

use outrigger_core::Class;

/// A call that cannot be translated for a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Untranslatable {
    /// For the client: what is wrong, and what would be right.
    pub message: String,
    /// The request field that it is about: `messages[2].content[0].image_url.url`.
    pub param: Option<String>,
    /// The call is well-formed: a target of another kind may serve it. False = the caller's mistake, wherever it goes.
    pub elsewhere: bool,
}

impl Untranslatable {
    /// The field does not have the shape that its dialect prescribes.
    pub(crate) fn malformed(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            param: Some(param.into()),
            elsewhere: false,
        }
    }

    /// The field is right, but means nothing to the target.
    pub(crate) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            param: Some(param.into()),
            elsewhere: true,
        }
    }

    /// The class that an attempt ends with for this reason, should no other target take the call.
    pub fn class(&self) -> Class {
        Class::ClientError
    }
}
