//! The signals that ask a process to end. It never ends the process itself.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, caught from the moment this is made.
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Starts to catch them; until then the default action, immediate death, holds.
    ///
    /// # Errors
    /// Where the system refuses the handlers.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one, by name. Call again to hear the second, with which an impatient person asks for an end at once.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_is_heard_by_name_and_the_process_lives() {
        let mut signals = Signals::new().unwrap();
        for (option, name) in [("-TERM", "SIGTERM"), ("-INT", "SIGINT")] {
            let sent = std::process::Command::new("kill")
                .args([option, &std::process::id().to_string()])
                .status();
            assert!(sent.unwrap().success());
            assert_eq!(signals.next().await, name);
        }
    }
}
