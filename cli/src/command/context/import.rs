//! `context import`: read a context from an archive.

use std::io::Read;
use std::path::Path;

use crate::command::{Verb, archive};
use crate::config::Context;
use crate::error::Failure;
use crate::output::{put_line, warn};
use crate::session::Session;

/// Read a context from an archive.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    context: String,
    /// The file, or - for STDIN.
    file: String,
}

/// Largest archive of a context, in bytes.
const MAX_ARCHIVE: u64 = 10 << 20;

impl Verb for Import {
    const USAGE: &'static str = "CONTEXT FILE|-";
    const ABOUT: &'static str = "Import a context from a tar or zip file";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        super::checked(&self.context)?;
        if super::find(session, &self.context).is_ok() {
            return Err(format!("context \"{}\" already exists", self.context).into());
        }
        let source: Box<dyn Read> = match self.file.as_str() {
            "-" => Box::new(std::io::stdin()),
            path => Box::new(archive::open(Path::new(path))?),
        };
        let mut context = read(source.take(MAX_ARCHIVE))?;
        // What it is called here is for the user to say.
        context.name.clone_from(&self.context);
        crate::client::Host::parse(&context.endpoints.docker.host).map_err(|error| error.to_string())?;
        context.save(session.config().directory())?;
        put_line(&self.context)?;
        warn(&format!("Successfully imported context \"{}\"", self.context));
        Ok(())
    }
}

fn read(source: impl Read) -> Result<Context, Failure> {
    let broken = |error: std::io::Error| Failure::io("read the archive", &error);
    let mut archive = tar::Archive::new(source);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        if path.starts_with("tls") {
            return Err("the context needs TLS, which is not supported".into());
        }
        if path == Path::new("meta.json") {
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(broken)?;
            return serde_json::from_str(&text).map_err(|error| format!("meta.json: {error}").into());
        }
    }
    Err("invalid context: no metadata found".into())
}
