//! Signals to child processes that are not yet waited for, so that a number never means a stranger.

use anyhow::Result;
pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use std::process::Child;

pub(crate) fn send(child: &Child, signal: Signal) -> Result<()> {
    kill_process(Pid::from_child(child), signal)?;
    Ok(())
}
