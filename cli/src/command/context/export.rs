//! `context export`: write a context to an archive.

use std::path::Path;

use crate::command::{Verb, archive};
use crate::config;
use crate::error::Failure;
use crate::output::{put_bytes, warn};
use crate::session::Session;
use crate::terminal;

/// Write a context to an archive.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    context: String,
    /// The file, or - for STDOUT.
    file: Option<String>,
}

impl Verb for Export {
    const USAGE: &'static str = "[OPTIONS] CONTEXT [FILE|-]";
    const ABOUT: &'static str = "Export a context to a tar archive FILE or a tar stream on STDOUT.";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        super::checked(&self.context)?;
        let context = super::find(session, &self.context)?;
        let path = self.file.unwrap_or_else(|| format!("{}.dockercontext", self.context));
        let failed = |error: std::io::Error| Failure::io(format!("write {path}"), &error);
        let text = serde_json::to_vec(&context).map_err(|error| format!("encode the context: {error}"))?;
        let mut bytes = Vec::new();
        {
            let mut builder = tar::Builder::new(&mut bytes);
            archive::add_bytes(&mut builder, "meta.json", &text).map_err(failed)?;
            builder.finish().map_err(failed)?;
        }
        if path == "-" {
            if terminal::stdout_is_terminal() {
                return Err("cowardly refusing to export to a terminal, specify a file path".into());
            }
            return put_bytes(&bytes);
        }
        if Path::new(&path).exists() {
            return Err(format!("open {path}: file exists").into());
        }
        config::replace(Path::new(&path), &bytes)?;
        warn(&format!("Written file \"{path}\""));
        Ok(())
    }
}
