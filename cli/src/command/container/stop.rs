//! `stop`: ask containers to end, and end them when they do not.

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::option::number;
use crate::session::Session;

use super::{each, path};

/// Stop containers.
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    /// Signal that asks the container to stop
    #[arg(short, long, value_name = "string", default_value = "")]
    signal: String,
    /// Seconds to wait before it is killed
    #[arg(short, long, alias = "time", value_name = "int", value_parser = number::integer)]
    timeout: Option<i64>,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Stop {
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Stop one or more running containers";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        signalled(session, "stop", &self.containers, &self.signal, self.timeout).await
    }
}

/// Posts `verb`, which takes a signal and a time, to each container.
pub(super) async fn signalled(
    session: &Session,
    verb: &str,
    containers: &[String],
    signal: &str,
    timeout: Option<i64>,
) -> Result<(), Failure> {
    let client = session.client()?;
    let seconds = timeout.map(|seconds| seconds.to_string()).unwrap_or_default();
    let query = Query::new().text("t", &seconds).text("signal", signal);
    each(containers, |name| {
        let call = Call::post(path(&name, verb)).query(query.clone());
        async move {
            client.done(call).await?;
            Ok(Some(name))
        }
    })
    .await
}
