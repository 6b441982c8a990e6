//! `context inspect`: all that is known of contexts.

use serde_json::json;

use crate::command::{Verb, inspect};
use crate::error::Failure;
use crate::session::Session;

/// Show all that is known of contexts.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Format the output: 'json', or a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    contexts: Vec<String>,
}

impl Verb for Inspect {
    const USAGE: &'static str = "[OPTIONS] [CONTEXT] [CONTEXT...]";
    const ABOUT: &'static str = "Display detailed information on one or more contexts";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let names = if self.contexts.is_empty() { vec![session.context_name()] } else { self.contexts };
        inspect::show(&names, &self.format, |name| async move {
            let context = super::find(session, name)?;
            let metadata = if name == super::DEFAULT { json!({}) } else { json!(context.metadata) };
            let place = if name == super::DEFAULT {
                "<IN MEMORY>".to_owned()
            } else {
                context.directory(session.config().directory()).display().to_string()
            };
            let document = json!({
                "Name": context.name,
                "Metadata": metadata,
                "Endpoints": context.endpoints,
                "TLSMaterial": {},
                "Storage": {"MetadataPath": place, "TLSPath": if name == super::DEFAULT { "<IN MEMORY>" } else { "" }},
            });
            Ok(document.to_string().replace('<', "\\u003c").replace('>', "\\u003e"))
        })
        .await
    }
}
