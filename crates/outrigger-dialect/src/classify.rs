//! Which class a provider's refusal is of: the attempt loop's next step hangs on it. Decided from tables, one row for each thing that a
//! provider is known to say: by status first, then by code or type, by text last. It must never take words of an echoed prompt for the
//! provider's own (so only its message is read, and digits never), and never hand a key or an internal host to the caller.

use core::time::Duration;
use outrigger_core::{Class, Dialect};

mod body;
mod room;
mod scrub;
mod table;
mod wait;

pub use room::{Room, room, tells_of_room};

use body::Said;

/// The head of a provider's answer.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// The status.
    pub status: u16,
    /// A header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The time of its arrival, milliseconds since 1970: for waits told as an instant by a provider that sends no `date`.
    pub now_unix_ms: u64,
}

/// What a refusal means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// Its class.
    pub class: Class,
    /// How long until the provider serves again, where it says so. Uncapped.
    pub wait: Option<Duration>,
    /// The provider's `error.code`, where that is a name and not a number.
    pub code: Option<String>,
    /// The provider's `error.type`.
    pub kind: Option<String>,
    /// The provider's `error.param`.
    pub param: Option<String>,
    /// What the provider says, for the caller: only of the classes that are the caller's to mend (`client_error`, `context_window`,
    /// `content_policy`), and with everything taken out that looks like a key or an internal host.
    pub message: Option<String>,
    /// The provider does not know the model. The class is `client_error`, as a caller that chose the name has to hear of it; where the
    /// name came from a route, another target can still answer.
    pub model_missing: bool,
}

/// Classifies an answer with an error status. `provider` is the catalogue's name; unknown ones are judged by `dialect` alone. `body` may
/// be cut off or anything but JSON.
pub fn classify(provider: &str, dialect: Dialect, head: &Head<'_>, body: &[u8]) -> Classified {
    let said = Said::read(body);
    let status = if (200..300).contains(&head.status) {
        said.status().unwrap_or(0)
    } else {
        head.status
    };
    let verdict = table::verdict(provider, dialect, status, &said);
    let wait = wait::told(head, &said.text);
    finish(verdict, wait, said)
}

/// Classifies an error that came inside a 200: the data of a stream's error event, or a whole body. The status is the one that the error
/// names or that its type stands for.
pub fn classify_stream_error(provider: &str, dialect: Dialect, data: &[u8]) -> Classified {
    let said = Said::read(data);
    let verdict = table::verdict(provider, dialect, said.status().unwrap_or(0), &said);
    let wait = wait::in_text(&said.text);
    finish(verdict, wait, said)
}

fn finish(verdict: table::Verdict, wait: Option<Duration>, said: Said) -> Classified {
    let callers = matches!(verdict.class, Class::ClientError | Class::ContextWindow | Class::ContentPolicy);
    Classified {
        class: verdict.class,
        wait: wait.filter(|_| !callers),
        code: said.code.filter(|code| code.parse::<i64>().is_err()),
        kind: said.kind,
        param: said.param,
        message: said.message.filter(|_| callers).map(|message| scrub::scrub(&message)),
        model_missing: verdict.model_missing,
    }
}

#[cfg(test)]
mod tests;
