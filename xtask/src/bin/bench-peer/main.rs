//! The processes around a measured proxy: the load with its scripted upstream, the floor, and a guard that ends what it started.
//!
//! A binary of its own because it is built with the profile of the proxy that it is compared with, which `xtask` is not. It must never
//! judge: it prints raw figures.

mod answer;
mod client;
mod floor;
mod guard;
mod load;
mod prompt;
mod reader;
mod sample;
#[path = "../../bench/spec.rs"]
mod spec;
mod tally;
mod uplink;

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

/// Started by `cargo xtask bench`; of little use alone.
#[derive(Parser)]
enum Role {
    /// A pass-through that reads nothing and decides nothing.
    Floor {
        /// Where to forward to.
        #[arg(long)]
        upstream: SocketAddr,
        /// Gets `{"data": PORT}`.
        #[arg(long)]
        ports_file: PathBuf,
        /// Which client connections it forwards over.
        #[arg(long, value_enum, default_value_t = floor::Pool::Pooled)]
        pool: floor::Pool,
    },
    /// Client and upstream in one thread that never sleeps; prints what it measured as JSON.
    Load {
        /// A `Spec` as JSON.
        spec: String,
    },
    /// Runs a command, prints its process id, and kills it when standard input closes.
    Guard {
        /// Program and arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
}

fn main() -> anyhow::Result<()> {
    match Role::parse() {
        Role::Floor {
            upstream,
            ports_file,
            pool,
        } => floor::run(upstream, &ports_file, pool),
        Role::Load { spec } => {
            let spec = serde_json::from_str(&spec).context("the run's specification")?;
            let measured = load::run(&spec)?;
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&measured)?)?;
            Ok(())
        }
        Role::Guard { command } => guard::run(&command),
    }
}
