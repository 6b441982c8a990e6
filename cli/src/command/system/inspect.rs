//! `inspect`: all that is known of anything with this name.

use crate::client::query::escape_path;
use crate::client::{Call, Query};
use crate::command::{Verb, inspect};
use crate::error::Failure;
use crate::output::warn;
use crate::session::Session;

/// Show all that is known of objects.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Format the output: 'json', or a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Show the total sizes of files of containers
    #[arg(short, long)]
    size: bool,
    /// Look only for objects of this type
    #[arg(long, value_name = "string")]
    r#type: Option<String>,
    #[arg(required = true)]
    names: Vec<String>,
}

/// Types that are looked for, in this order.
const TYPES: [&str; 4] = ["container", "image", "network", "volume"];
/// Types that Docker has besides.
const OTHERS: [&str; 6] = ["config", "node", "plugin", "secret", "service", "task"];

impl Verb for Inspect {
    const USAGE: &'static str = "[OPTIONS] NAME|ID [NAME|ID...]";
    const ABOUT: &'static str = "Return low-level information on Docker objects";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let wanted = self.r#type.as_deref();
        match wanted {
            Some("") => return Err("type is empty: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"".into()),
            Some(kind) if OTHERS.contains(&kind) => return Err(format!("objects of type {kind} are not supported").into()),
            Some(kind) if !TYPES.contains(&kind) => {
                return Err(format!("unknown type: \"{kind}\": must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"").into());
            }
            _ => {}
        }
        inspect::show(&self.names, &self.format, |name| self.find(session, name)).await
    }
}

impl Inspect {
    async fn find(&self, session: &Session, name: &str) -> Result<String, Failure> {
        let client = session.client()?;
        let wanted = self.r#type.as_deref();
        let name_in_path = escape_path(name);
        for kind in TYPES.iter().filter(|kind| wanted.is_none_or(|wanted| wanted == **kind)) {
            let (path, query) = match *kind {
                "container" => {
                    (format!("/containers/{name_in_path}/json"), Query::new().flag("size", self.size))
                }
                "image" => (format!("/images/{name_in_path}/json"), Query::new()),
                "network" => (format!("/networks/{name_in_path}"), Query::new()),
                _ => (format!("/volumes/{name_in_path}"), Query::new()),
            };
            match inspect::raw(client, Call::get(path).query(query)).await {
                Err(error) if wanted.is_none() && skippable(&error) => {}
                result => {
                    if self.size && *kind != "container" && result.is_ok() {
                        warn(&format!("WARNING: --size ignored for {kind}s"));
                    }
                    return Ok(result?);
                }
            }
        }
        Err(format!("Error: No such object: {name}").into())
    }
}

fn skippable(error: &crate::client::ClientError) -> bool {
    let message = error.message();
    error.is_not_found() || message.contains("not supported") || message.contains("invalid reference format")
}
