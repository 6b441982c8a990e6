//! `logs`: what containers have printed.

use dhow_engine_api::container::ContainerInspect;

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::{put_bytes, time, warn_bytes};
use crate::session::Session;

use super::path;

/// Show what a container has printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Show the attributes that logs were given
    #[arg(long)]
    details: bool,
    /// Go on as more is printed
    #[arg(short, long)]
    follow: bool,
    /// Show logs since a time (e.g. "2013-01-02T13:23:37Z") or for a while (e.g. "42m")
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Number of lines to show from the end (default "all")
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show times
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs before a time (e.g. "2013-01-02T13:23:37Z") or before a while (e.g. "42m")
    #[arg(long, value_name = "string")]
    until: Option<String>,
    container: String,
}

impl Verb for Logs {
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ABOUT: &'static str = "Fetch the logs of a container";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let found: ContainerInspect = client.fetch(Call::get(path(&self.container, "json"))).await?;
        let tty = found.config.tty;
        let moment = |flag: &str, text: &Option<String>| match text {
            Some(text) => {
                time::moment(text).map_err(|cause| format!("invalid value for \"{flag}\": {cause}"))
            }
            None => Ok(String::new()),
        };
        let query = Query::new()
            .flag("details", self.details)
            .flag("follow", self.follow)
            .text("since", &moment("since", &self.since)?)
            .set("stdout", "1")
            .set("stderr", "1")
            .set("tail", &self.tail)
            .flag("timestamps", self.timestamps)
            .text("until", &moment("until", &self.until)?);
        let mut reply = client.send(Call::get(path(&found.id, "logs")).query(query)).await?;
        let mut frames = Frames::default();
        while let Some(chunk) = reply.chunk().await? {
            if tty {
                put_bytes(&chunk)?;
            } else {
                frames.feed(&chunk)?;
            }
        }
        Ok(())
    }
}

/// Splits the frames of a log as its chunks come.
#[derive(Debug, Default)]
struct Frames {
    header: Vec<u8>,
    left: usize,
    stream: u8,
}

impl Frames {
    fn feed(&mut self, mut chunk: &[u8]) -> Result<(), Failure> {
        while !chunk.is_empty() {
            if self.left == 0 {
                let missing = (8 - self.header.len()).min(chunk.len());
                self.header.extend_from_slice(&chunk[..missing]);
                chunk = &chunk[missing..];
                if let [stream, _, _, _, a, b, c, d] = self.header[..] {
                    self.stream = stream;
                    self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                    self.header.clear();
                }
                continue;
            }
            let (payload, rest) = chunk.split_at(self.left.min(chunk.len()));
            match self.stream {
                0 | 1 => put_bytes(payload)?,
                2 => warn_bytes(payload),
                3 => {
                    return Err(
                        format!("error from daemon in stream: {}", String::from_utf8_lossy(payload)).into()
                    );
                }
                stream => return Err(format!("unrecognized stream: {stream}").into()),
            }
            self.left -= payload.len();
            chunk = rest;
        }
        Ok(())
    }
}
