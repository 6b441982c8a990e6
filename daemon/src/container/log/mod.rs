//! Logs: reading what a container's shim wrote.
//!
//! ```text
//! <id>-json.log      the newest lines, still written to
//! <id>-json.log.1    the lines before; .2 is older still
//! {"log":"text\n","stream":"stdout","attrs":{…},"time":"2026-11-21T20:52:10.268538156Z"}
//! ```
//! Owns: which lines a client gets, in what shape. Does not own: writing and rotating.

mod file;
mod follow;
mod line;
mod tail;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dhow_proto::error::Kind;
use jiff::Timestamp;
use tokio::sync::mpsc;

use self::file::Cursor;
use self::line::Line;
use super::attach::Streams;
use super::frame::{Source, framed};
use super::state::{Container, Until};
use crate::error::Failure;

/// How many lines may wait for a slow client.
const AHEAD: usize = 64;

/// Which lines, in what shape.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) follow: bool,
    pub(crate) timestamps: bool,
    pub(crate) details: bool,
    /// Only the last ones; `None` for all.
    pub(crate) tail: Option<usize>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

impl Wish {
    /// Everything that was said so far.
    pub(crate) fn past(streams: Streams) -> Self {
        Self {
            stdout: streams.stdout,
            stderr: streams.stderr,
            follow: false,
            timestamps: false,
            details: false,
            tail: None,
            since: None,
            until: None,
        }
    }
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("configured logging driver does not support reading")]
    NoReader,
}

impl Failure for LogError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoReader => Kind::Unimplemented,
        }
    }
}

/// The lines of a container's log, as they are found.
pub(crate) fn read(
    container: &Arc<Container>,
    wish: Wish,
) -> Result<mpsc::Receiver<io::Result<Bytes>>, LogError> {
    let (path, terminal, end) = {
        let mut state = container.state();
        let path = state.record.log(&container.folder).ok_or(LogError::NoReader)?;
        // Before the first line is read: an end after this is not missed.
        let end = (wish.follow && state.is_running()).then(|| state.wait(Until::NextExit));
        (path, state.record.config.tty, end)
    };
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let sink = Sink { sender, wish, terminal };
        if let Err(error) = copy(Cursor::new(path), &sink, end).await {
            tracing::debug!(%error, "log not read to its end");
        }
    });
    Ok(receiver)
}

async fn copy(
    mut cursor: Cursor,
    sink: &Sink,
    end: Option<tokio::sync::oneshot::Receiver<super::state::Exit>>,
) -> io::Result<()> {
    cursor.begin(sink.wish.tail).await?;
    let Some(end) = end else {
        return drain(&mut cursor, sink).await.map(drop);
    };
    follow::follow(&mut cursor, sink, end).await
}

/// Whether more lines are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Wanted,
    Done,
}

/// Passes on every line that is there.
async fn drain(cursor: &mut Cursor, sink: &Sink) -> io::Result<More> {
    while let Some(line) = cursor.next().await? {
        if sink.send(&line).await == More::Done {
            return Ok(More::Done);
        }
    }
    Ok(More::Wanted)
}

/// A client.
struct Sink {
    sender: mpsc::Sender<io::Result<Bytes>>,
    wish: Wish,
    terminal: bool,
}

impl Sink {
    async fn send(&self, line: &Line) -> More {
        let wish = &self.wish;
        let time = crate::time::parse(&line.time);
        if wish.until.is_some_and(|until| time.is_some_and(|time| time > until)) {
            return More::Done;
        }
        if wish.since.is_some_and(|since| time.is_some_and(|time| time < since)) {
            return More::Wanted;
        }
        let source = if line.stream == "stderr" { Source::Stderr } else { Source::Stdout };
        if !(if source == Source::Stdout { wish.stdout } else { wish.stderr }) {
            return More::Wanted;
        }
        let text = line.render(wish.timestamps, wish.details);
        let bytes = if self.terminal { Bytes::from(text) } else { framed(source, &text) };
        if self.sender.send(Ok(bytes)).await.is_ok() { More::Wanted } else { More::Done }
    }
}
