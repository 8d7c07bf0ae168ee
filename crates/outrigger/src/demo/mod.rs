//! `outrigger demo`: scripted providers, the data plane on the bundled samples, a mixed load, a provider taken down and brought back, a key
//! rotated, and what came of it. Nothing leaves the machine and no key is needed.

mod providers;
mod report;
mod traffic;

use crate::{
    dev::Common,
    output::{complain, say},
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use outrigger_mock::Mock;
use outrigger_proxy::plane::Plane;
use std::{net::SocketAddr, process::ExitCode, time::Duration};
use tokio::{sync::mpsc, task::JoinSet};

/// Flags of `outrigger demo`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// End after the tables instead of serving on; exit code 1 where a call failed.
    #[arg(long)]
    once: bool,
    /// Where applications connect. Default: 127.0.0.1:5567, with --once any free port.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Health, metrics and what is going on inside. Default: 127.0.0.1:5568, with --once any free port.
    #[arg(long)]
    admin: Option<SocketAddr>,
    /// Seconds that each of the four parts takes.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[command(flatten)]
    common: Common,
}

/// The parts of a run.
const PHASES: [&str; 4] = ["all providers healthy", "anthropic down", "anthropic back", "openai key rotated"];

/// Runs the demo.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mock = Mock::local()?;
    providers::script(&mock)?;
    let compiled = providers::routes(&mock, providers::KEY);

    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let port = |fixed: u16| if arguments.once { any } else { ([127, 0, 0, 1], fixed).into() };
    let listen = arguments.listen.unwrap_or_else(|| port(5567));
    let admin = arguments.admin.unwrap_or_else(|| port(5568));
    let (plane, _logs) = arguments.common.start(listen, admin)?;
    plane.proxy.install(compiled.table, &compiled.secrets, "demo")?;
    arguments.common.announce(&plane)?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let samples = runtime.block_on(load(&plane, &mock, Duration::from_secs(arguments.seconds)))?;
    let failed = samples.iter().filter(|sample| !sample.ok).count();
    say(&format!("\n{}", report::by_route(&samples)));
    say(&format!("\n{}", report::by_phase(&samples, &PHASES)));
    say(&format!("\n{} calls, {failed} failed.", samples.len()));
    if arguments.once {
        plane.stop()?;
        return Ok(ExitCode::from(u8::from(failed > 0)));
    }
    let base = format!("http://{}/v1", plane.data);
    say(&format!(
        "\nStill serving. Try it:\n  curl {base}/chat/completions -H 'content-type: application/json' -d '{{\"model\": \"assistant\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'\n  OPENAI_BASE_URL={base} OPENAI_API_KEY=sk-outrigger python -c 'from openai import OpenAI; print(OpenAI().chat.completions.create(model=\"assistant\", messages=[{{\"role\": \"user\", \"content\": \"Hello\"}}]))'\nWhat it learnt: http://{}/targets   Last calls: http://{}/requests   Ctrl-C ends it.",
        plane.admin_address, plane.admin_address
    ));
    plane.run_until_signal()?;
    Ok(ExitCode::SUCCESS)
}

/// Sends the load, part by part, and shows how far it is.
async fn load(plane: &Plane, mock: &Mock, each: Duration) -> anyhow::Result<Vec<report::Sample>> {
    let mut samples = Vec::new();
    let bar = ProgressBar::new(each.as_secs() * PHASES.len() as u64 * 10);
    bar.set_style(ProgressStyle::with_template("{bar:30} {elapsed_precise}  {msg}")?);
    for phase in PHASES {
        providers::set(mock, "anthropic", &[providers::KEY], phase == PHASES[1])?;
        if bar.is_hidden() {
            complain(&format!("{phase} …"));
        }
        let until = plane.clock.now_us() + u64::try_from(each.as_micros())?;
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut callers = JoinSet::new();
        for number in 0..traffic::CALLERS {
            let caller = traffic::Caller {
                number,
                data: plane.data,
                admin: plane.proxy.admin(),
                clock: plane.clock,
                tasks: outrigger_runtime::Tasks::new(),
            };
            callers.spawn(caller.work(phase, until, tell.clone()));
        }
        drop(tell);
        let begun = plane.clock.now_us();
        let base = bar.position();
        let collect = async {
            while let Some(sample) = told.recv().await {
                samples.push(sample);
                bar.set_position(base + ((plane.clock.now_us() - begun) / 100_000).min(each.as_secs() * 10));
                let failed = samples.iter().filter(|sample| !sample.ok).count();
                bar.set_message(format!("{phase}: {} calls, {failed} failed", samples.len()));
            }
        };
        let change = async {
            if phase == PHASES[3] {
                rotate(plane, mock, each / 4).await?;
            }
            anyhow::Ok(())
        };
        tokio::join!(collect, change).1?;
        callers.join_all().await;
    }
    bar.finish_and_clear();
    Ok(samples)
}

/// Rotates a provider's key as operators do: it takes both, the new one goes out, it takes the old one no more.
async fn rotate(plane: &Plane, mock: &Mock, pause: Duration) -> anyhow::Result<()> {
    tokio::time::sleep(pause).await;
    providers::set(mock, "openai", &[providers::KEY, providers::NEW_KEY], false)?;
    let compiled = providers::routes(mock, providers::NEW_KEY);
    plane.proxy.install(compiled.table, &compiled.secrets, "demo")?;
    tokio::time::sleep(pause).await;
    providers::set(mock, "openai", &[providers::NEW_KEY], false)
}
