//! `import`: make an image of a file system in a tar archive.

use crate::client::{Body, Call, Query};
use crate::command::{Verb, upload};
use crate::error::Failure;
use crate::option::reference::Reference;
use crate::output::progress::{self, Sink};
use crate::session::Session;

/// Make an image of a file system in a tar archive.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Apply a Dockerfile instruction to the image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Set the message of the import
    #[arg(short, long, value_name = "string", default_value = "")]
    message: String,
    /// Set the platform of the image
    #[arg(long, value_name = "string", env = "DOCKER_DEFAULT_PLATFORM", hide_env = true, default_value = "")]
    platform: String,
    file: String,
    name: Option<String>,
}

impl Verb for Import {
    const USAGE: &'static str = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]";
    const ABOUT: &'static str = "Import the contents from a tarball to create a filesystem image";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let remote = self.file.starts_with("http://") || self.file.starts_with("https://");
        let mut query = Query::new().set("fromSrc", if remote { &self.file } else { "-" });
        if let Some(name) = &self.name {
            // The daemon reads the name; a bad one is better told before the upload.
            Reference::parse(name)?;
            query = query.set("repo", name);
        }
        query = query.text("message", &self.message).text("platform", &self.platform);
        for change in &self.change {
            query = query.set("changes", change);
        }
        let mut call = Call::post("/images/create").query(query);
        if !remote {
            let body: Body = if self.file == "-" { upload::stdin() } else { upload::file(&self.file)? };
            call = call.body(body, "application/x-tar");
        }
        let reply = session.client()?.send(call).await?;
        progress::show(reply.messages(), Sink::Stdout, |_| {}).await
    }
}
