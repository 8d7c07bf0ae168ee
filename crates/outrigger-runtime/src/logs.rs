//! Logs: one static level, one line per event on standard error. Writing is a thread's own job behind a bounded queue, so that a reader
//! who has stopped reading never stops a request; what does not fit is dropped and counted.

use std::io::{self, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const QUEUE: usize = 4_096;
/// Lines are joined into one write up to about this many bytes.
const BATCH: usize = 8 * 1_024;
/// How long the end of the process waits for the last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why there are no logs.
#[derive(Debug)]
pub enum LogsError {
    /// The writing thread could not be started.
    Thread(io::Error),
    /// This process has logs already.
    Twice,
}

impl std::fmt::Display for LogsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Thread(error) => write!(f, "cannot start the log thread: {error}"),
            Self::Twice => f.write_str("logs are already set up"),
        }
    }
}

impl std::error::Error for LogsError {}

/// The logs of a process. Hold it until the end: on drop the lines that still wait are written, within a second.
pub struct Logs {
    queue: SyncSender<Entry>,
}

/// Starts the process's logs: events up to `level` go to standard error, panics among them.
///
/// # Errors
/// [`LogsError`]; nothing is changed then.
pub fn init(level: LevelFilter, format: Format) -> Result<Logs, LogsError> {
    let (writer, queue) = start(io::stderr(), format).map_err(LogsError::Thread)?;
    let builder = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(writer);
    match format {
        Format::Text => builder.try_init(),
        Format::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
    }
    .map_err(|_| LogsError::Twice)?;
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, message, "panic");
    }));
    Ok(Logs { queue })
}

enum Entry {
    Line(Vec<u8>),
    /// Everything before it is to be written, then told.
    Flush(SyncSender<()>),
}

#[derive(Clone)]
struct Writer {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

/// One event on its way; the formatter writes it in one piece.
struct Line<'a> {
    writer: &'a Writer,
}

fn start(sink: impl Write + Send + 'static, format: Format) -> io::Result<(Writer, SyncSender<Entry>)> {
    let (queue, entries) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let lost = dropped.clone();
    thread::Builder::new()
        .name("logs".to_owned())
        .stack_size(128 * 1_024)
        .spawn(move || write_all(sink, format, &entries, &lost))?;
    Ok((
        Writer {
            queue: queue.clone(),
            dropped,
        },
        queue,
    ))
}

/// Sleeps until there is something to write; ends with the last sender.
fn write_all(mut sink: impl Write, format: Format, entries: &Receiver<Entry>, dropped: &AtomicU64) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Ok(first) = entries.recv() {
        let mut flushed = None;
        let mut next = Some(first);
        while let Some(entry) = next {
            match entry {
                Entry::Line(line) => batch.extend_from_slice(&line),
                Entry::Flush(tell) => flushed = Some(tell),
            }
            next = if batch.len() < BATCH && flushed.is_none() {
                entries.try_recv().ok()
            } else {
                None
            };
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            batch.extend_from_slice(loss(format, lost).as_bytes());
        }
        // Nobody is left to be told of an error here.
        let _ = sink.write_all(&batch).and_then(|()| sink.flush());
        batch.clear();
        batch.shrink_to(BATCH);
        if let Some(tell) = flushed {
            let _ = tell.send(());
        }
    }
}

fn loss(format: Format, lines: u64) -> String {
    match format {
        Format::Text => format!("WARN outrigger: log lines dropped count={lines}\n"),
        Format::Json => format!("{{\"level\":\"WARN\",\"message\":\"log lines dropped\",\"count\":{lines}}}\n"),
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { writer: self }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.writer.queue.try_send(Entry::Line(line.to_vec())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.writer.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let (tell, told) = sync_channel(1);
        // A full queue means a reader who has stopped: there is nothing to wait for.
        if self.queue.try_send(Entry::Flush(tell)).is_ok() {
            let _ = told.recv_timeout(LAST_WORDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A sink that a test can stop and read.
    #[derive(Clone, Default)]
    struct Sink {
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.text.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn flush(queue: &SyncSender<Entry>) {
        let (tell, told) = sync_channel(1);
        queue.send(Entry::Flush(tell)).unwrap();
        told.recv().unwrap();
    }

    #[test]
    fn lines_come_out_whole_and_in_order() {
        let sink = Sink::default();
        let (writer, queue) = start(sink.clone(), Format::Json).unwrap();
        for n in 0..100 {
            writer.make_writer().write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        flush(&queue);
        let text = String::from_utf8(sink.text.lock().unwrap().clone()).unwrap();
        let numbers: Vec<_> = text
            .lines()
            .map(|line| line.strip_prefix("line ").unwrap().parse::<u32>().unwrap())
            .collect();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_stuck_reader_costs_lines_but_never_blocks_and_the_loss_is_told() {
        let sink = Sink::default();
        let stuck = sink.text.lock().unwrap();
        let (writer, queue) = start(sink.clone(), Format::Json).unwrap();
        // The thread takes up to a batch before it gets stuck, so twice the queue surely overflows.
        for _ in 0..2 * QUEUE + BATCH {
            writer.make_writer().write_all(b"x\n").unwrap();
        }
        drop(stuck);
        flush(&queue);
        let text = String::from_utf8(sink.text.lock().unwrap().clone()).unwrap();
        let told: usize = text
            .lines()
            .filter_map(|line| line.split("\"count\":").nth(1)?.trim_end_matches('}').parse::<usize>().ok())
            .sum();
        let written = text.lines().filter(|line| *line == "x").count();
        assert!(told > 0);
        assert_eq!(written + told, 2 * QUEUE + BATCH);
    }

    #[test]
    fn json_lines_are_flat_objects() {
        let sink = Sink::default();
        let (writer, queue) = start(sink.clone(), Format::Json).unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::INFO)
            .with_writer(writer)
            .json()
            .flatten_event(true)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(port = 5567, "listening");
            tracing::debug!("not at this level");
        });
        flush(&queue);
        let text = String::from_utf8(sink.text.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("\"message\":\"listening\",\"port\":5567"), "{text}");
        assert!(text.contains("\"level\":\"INFO\""), "{text}");
    }
}
