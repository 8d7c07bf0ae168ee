//! A running data plane with its admin port: two single-threaded runtimes, so that neither a scrape nor a reload takes a turn from a call.

use super::Common;
use crate::output::complain;
use anyhow::Context as _;
use outrigger_proxy::{Page, Proxy, Settings};
use outrigger_runtime::{Clock, Drain, Tasks, admin, listen, logs, metrics, signals};
use std::{
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    sync::Arc,
};

/// Memory where nothing limits the process.
const UNLIMITED: u64 = 1 << 30;

/// Where to listen; port 0 is the system's choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaneOptions {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// A data plane whose ports are open.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) proxy: Proxy,
}
