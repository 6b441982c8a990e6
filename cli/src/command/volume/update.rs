//! `volume update`: change a cluster volume, which only swarm has.

use crate::command::Verb;
use crate::error::Failure;
use crate::session::Session;

/// Change a cluster volume.
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// When the volume may be used ("active", "pause", "drain") (default "active")
    #[arg(long, value_name = "string", default_value = "active")]
    availability: String,
    volume: String,
}

impl Verb for Update {
    const USAGE: &'static str = "[OPTIONS] VOLUME";
    const ABOUT: &'static str = "Update a volume (cluster volumes only)";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        // A volume that is not there is the better thing to tell.
        session.client()?.done(crate::client::Call::get(super::path(&self.volume))).await?;
        let Self { availability, volume } = self;
        Err(format!(
            "cannot make {volume} {availability}: can only update cluster volumes, and there is no swarm"
        )
        .into())
    }
}
