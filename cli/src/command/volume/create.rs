//! `volume create`: make a volume.

use dhow_engine_api::volume::{Volume, VolumeCreate};

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::option::key_values;
use crate::output::put_line;
use crate::session::Session;

/// Make a volume.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Driver of the volume (default "local")
    #[arg(short, long, value_name = "string", default_value = "local")]
    driver: String,
    /// Set labels
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Name of the volume
    #[arg(long, value_name = "string", hide = true)]
    name: Option<String>,
    /// Options of the driver
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    /// When a cluster volume may be used (not supported)
    #[arg(long, value_name = "string", value_parser = cluster)]
    availability: Option<String>,
    /// Group of a cluster volume (not supported)
    #[arg(long, value_name = "string", value_parser = cluster)]
    group: Option<String>,
    /// Most bytes of a cluster volume (not supported)
    #[arg(long, value_name = "bytes", value_parser = cluster)]
    limit_bytes: Option<String>,
    /// Least bytes of a cluster volume (not supported)
    #[arg(long, value_name = "bytes", value_parser = cluster)]
    required_bytes: Option<String>,
    /// Scope of a cluster volume (not supported)
    #[arg(long, value_name = "string", value_parser = cluster)]
    scope: Option<String>,
    /// Secrets of a cluster volume (not supported)
    #[arg(long, value_name = "map", value_parser = cluster)]
    secret: Option<String>,
    /// Sharing of a cluster volume (not supported)
    #[arg(long, value_name = "string", value_parser = cluster)]
    sharing: Option<String>,
    /// Topology that a cluster volume would like (not supported)
    #[arg(long, value_name = "list", value_parser = cluster)]
    topology_preferred: Option<String>,
    /// Topology that a cluster volume needs (not supported)
    #[arg(long, value_name = "list", value_parser = cluster)]
    topology_required: Option<String>,
    /// Type of a cluster volume (not supported)
    #[arg(long, value_name = "string", value_parser = cluster)]
    r#type: Option<String>,
    volume: Option<String>,
}

fn cluster(_: &str) -> Result<String, String> {
    Err("there are no cluster volumes without swarm".into())
}

impl Verb for Create {
    const USAGE: &'static str = "[OPTIONS] [VOLUME]";
    const ABOUT: &'static str = "Create a volume";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        if self.name.is_some() && self.volume.is_some() {
            return Err("conflicting options: cannot specify a volume-name through both --name and as a positional arg".into());
        }
        let request = VolumeCreate {
            name: self.volume.or(self.name).unwrap_or_default(),
            driver: self.driver,
            driver_opts: Some(key_values(&self.opt)),
            labels: Some(key_values(&self.label)),
        };
        let created: Volume = session.client()?.fetch(Call::post("/volumes/create").json(&request)?).await?;
        put_line(&created.name)
    }
}
