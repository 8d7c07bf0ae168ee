//! The watch of one ConfigMap: what it is now, then every change of it. It follows the API server's own rules (a list, then a watch from the
//! list's version; bookmarks; a new list where the version is too old) and comes back after every trouble, with a growing, jittered pause.
//! It must never report a state that the API server did not send.

use super::{
    api::{Api, Session, Trouble},
    authority::{Data, Event},
};
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use outrigger_runtime::Clock;
use outrigger_snapshot::CONFIG_MAP_NAME;
use serde::Deserialize;
use std::time::Duration;
use tokio::{sync::mpsc, time::timeout};

/// Longest answer and longest line: an object holds 1 MiB, and its history of field owners comes on top.
const MOST_BYTES: usize = 4 << 20;
/// How long the API server is asked to keep a watch open, and what is added at random: a namespace's sidecars must not come back all at once.
const WATCH_SECONDS: (u64, u64) = (240, 120);
/// A watch that outlives this has worked.
const WORKED: Duration = Duration::from_secs(5);
/// First and longest pause after a trouble, and the longest one after a refusal.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// A watch that runs for as long as somebody listens.
pub(super) struct Watch {
    api: Api,
    clock: Clock,
    /// Path of the list.
    path: String,
    tell: mpsc::Sender<Event>,
    pause: Pause,
}

/// Nobody listens any more.
struct Deaf;

impl Watch {
    pub(super) fn new(api: Api, namespace: &str, clock: Clock, tell: mpsc::Sender<Event>) -> Self {
        Self {
            api,
            clock,
            path: format!("/api/v1/namespaces/{namespace}/configmaps?fieldSelector=metadata.name%3D{CONFIG_MAP_NAME}"),
            tell,
            pause: Pause::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut told = String::new();
        loop {
            let trouble = match self.session().await {
                Ok(Deaf) => return,
                Err(trouble) => trouble,
            };
            // Once for each kind of trouble: a server that is away for hours is no news every ten seconds.
            let text = trouble.to_string();
            if text == told {
                tracing::debug!(trouble = text, "the snapshot is not watched");
            } else {
                tracing::warn!(trouble = text, "the snapshot is not watched");
                told = text;
            }
            if self.tell.send(Event::Lost).await.is_err() {
                return;
            }
            tokio::time::sleep(self.pause.next(trouble.is_refusal())).await;
        }
    }

    async fn session(&mut self) -> Result<Deaf, Trouble> {
        let (mut session, driver) = self.api.connect().await?;
        tokio::select! {
            done = self.follow(&mut session) => done,
            broken = driver => Err(broken.err().map_or(Trouble::Closed, Trouble::from)),
        }
    }

    /// A list, then watches from where it stands, until the connection is of no more use.
    async fn follow(&mut self, session: &mut Session) -> Result<Deaf, Trouble> {
        loop {
            let list = session.get(&self.path).await?.into_body();
            let list = timeout(self.api.clocks.step, whole(list))
                .await
                .map_err(|_| Trouble::Slow("list"))??;
            let list: List = serde_json::from_slice(&list).map_err(|_| Trouble::Unexpected)?;
            let ours = list.items.into_iter().find(Object::is_ours);
            let mut version = list.metadata.version;
            if self.tell.send(Event::Watched(ours.map(Object::into_data))).await.is_err() {
                return Ok(Deaf);
            }
            tracing::debug!(version, "the snapshot is listed");
            loop {
                let begun = self.clock.now_us();
                let ended = self.watch(session, &mut version).await;
                if self.clock.now_us().saturating_sub(begun) >= u64::try_from(WORKED.as_micros()).unwrap_or(u64::MAX) {
                    self.pause = Pause::default();
                }
                match ended {
                    Ok(End::Closed) => {}
                    Ok(End::TooOld) => break,
                    Ok(End::Deaf) => return Ok(Deaf),
                    Err(trouble) => return Err(trouble),
                }
                tokio::time::sleep(self.pause.next(false)).await;
            }
            tokio::time::sleep(self.pause.next(false)).await;
        }
    }

    /// One watch, to its end.
    async fn watch(&mut self, session: &mut Session, version: &mut String) -> Result<End, Trouble> {
        let seconds = WATCH_SECONDS.0 + fastrand::u64(..WATCH_SECONDS.1);
        let path = format!(
            "{}&watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}",
            self.path
        );
        let mut body = match session.get(&path).await {
            Ok(response) => response.into_body(),
            Err(Trouble::Status(StatusCode::GONE)) => return Ok(End::TooOld),
            Err(trouble) => return Err(trouble),
        };
        let mut lines = Lines::default();
        // Silence is what a watch is made of; but it ends when it was told to, or there is nobody to end it.
        let longest = Duration::from_secs(seconds).saturating_add(self.api.clocks.step);
        loop {
            let frame = timeout(longest, body.frame())
                .await
                .map_err(|_| Trouble::Slow("end of the watch"))?;
            let Some(frame) = frame else { return Ok(End::Closed) };
            let Ok(data) = frame?.into_data() else { continue };
            lines.push(&data)?;
            while let Some(line) = lines.next() {
                let said = Said::read(&line)?;
                self.pause = Pause::default();
                match said {
                    Said::Now(data, at) => {
                        *version = at;
                        if self.tell.send(Event::Watched(data)).await.is_err() {
                            return Ok(End::Deaf);
                        }
                    }
                    Said::Bookmark(at) => *version = at,
                    Said::Other => {}
                    Said::Trouble(StatusCode::GONE) => return Ok(End::TooOld),
                    Said::Trouble(status) => return Err(Trouble::Status(status)),
                }
            }
        }
    }
}

/// How a watch ended.
enum End {
    /// In good order.
    Closed,
    /// The version is too old to go on from.
    TooOld,
    /// Nobody listens any more.
    Deaf,
}

/// A body up to the cap.
async fn whole(mut body: Incoming) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if bytes.len() + data.len() > MOST_BYTES {
            return Err(Trouble::TooLarge(MOST_BYTES));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Takes a body apart into lines, each up to the cap.
#[derive(Debug, Default)]
struct Lines {
    buffer: Vec<u8>,
    /// Up to here there is no line's end.
    searched: usize,
}

impl Lines {
    fn push(&mut self, data: &[u8]) -> Result<(), Trouble> {
        if self.buffer.len() + data.len() > MOST_BYTES {
            return Err(Trouble::TooLarge(MOST_BYTES));
        }
        self.buffer.extend_from_slice(data);
        Ok(())
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', rest).map(|at| self.searched + at) else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        line.pop();
        self.searched = 0;
        if self.buffer.is_empty() {
            // One large document must not take its room for ever.
            self.buffer = Vec::new();
        }
        Some(line)
    }
}

/// What a line of a watch says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// This is what the ConfigMap holds now, at that version; `None` = deleted.
    Now(Option<Data>, String),
    /// Nothing has changed up to that version.
    Bookmark(String),
    /// Nothing about our ConfigMap.
    Other,
    /// The watch has failed.
    Trouble(StatusCode),
}

#[derive(Deserialize)]
struct List {
    metadata: Metadata,
    #[serde(default)]
    items: Vec<Object>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    object: Object,
}

/// A ConfigMap, or the `Status` that a watch fails with.
#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    data: Option<Data>,
    code: Option<u16>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(rename = "resourceVersion", default)]
    version: String,
}

impl Object {
    fn is_ours(&self) -> bool {
        self.metadata.name == CONFIG_MAP_NAME
    }

    fn into_data(self) -> Data {
        self.data.unwrap_or_default()
    }
}

impl Said {
    fn read(line: &[u8]) -> Result<Self, Trouble> {
        let Line { kind, object } = serde_json::from_slice(line).map_err(|_| Trouble::Unexpected)?;
        let version = object.metadata.version.clone();
        Ok(match kind.as_str() {
            "ADDED" | "MODIFIED" if object.is_ours() => Self::Now(Some(object.into_data()), version),
            "DELETED" if object.is_ours() => Self::Now(None, version),
            "BOOKMARK" => Self::Bookmark(version),
            "ERROR" => {
                let code = object.code.and_then(|code| StatusCode::from_u16(code).ok());
                Self::Trouble(code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            }
            _ => Self::Other,
        })
    }
}

/// Pauses that double, between half and all of their length at random.
#[derive(Debug, Default)]
struct Pause {
    times: u32,
}

impl Pause {
    fn next(&mut self, refused: bool) -> Duration {
        let longest = if refused { REFUSED_PAUSE } else { LONGEST_PAUSE };
        let most = FIRST_PAUSE.saturating_mul(1 << self.times.min(10)).min(longest);
        self.times = self.times.saturating_add(1);
        most.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests;
