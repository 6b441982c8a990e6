//! `update`: change the limits of containers.

use dhow_engine_api::container::{Resources, UpdateConfig, UpdateResponse};

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::option::{number, restart};
use crate::output::{put_line, warn};
use crate::session::Session;

use super::path;

/// Change the limits of containers.
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// Relative share of block IO, 10 to 1000, or 0 for none (default 0)
    #[arg(long, value_name = "uint16", value_parser = number::uint16)]
    blkio_weight: Option<u16>,
    /// Period of the CPU quota, in microseconds
    #[arg(long, value_name = "int", value_parser = number::integer)]
    cpu_period: Option<i64>,
    /// CPU time in each period, in microseconds
    #[arg(long, value_name = "int", value_parser = number::integer)]
    cpu_quota: Option<i64>,
    /// Period of real-time scheduling, in microseconds
    #[arg(long, value_name = "int", value_parser = number::integer)]
    cpu_rt_period: Option<i64>,
    /// Real-time CPU time in each period, in microseconds
    #[arg(long, value_name = "int", value_parser = number::integer)]
    cpu_rt_runtime: Option<i64>,
    /// Relative share of CPU time
    #[arg(short, long, value_name = "int", value_parser = number::integer)]
    cpu_shares: Option<i64>,
    /// How many CPUs' worth of time the container may use
    #[arg(long, value_name = "decimal", value_parser = number::nano_cpus)]
    cpus: Option<i64>,
    /// CPUs that it may run on (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that it may use (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_mems: Option<String>,
    /// Limit of kernel memory (deprecated, and ignored by kernels)
    #[arg(long, value_name = "bytes", hide = true, value_parser = number::memory)]
    kernel_memory: Option<i64>,
    /// Limit of memory
    #[arg(short, long, value_name = "bytes", value_parser = number::memory)]
    memory: Option<i64>,
    /// Memory that is left to it when the host runs short
    #[arg(long, value_name = "bytes", value_parser = number::memory)]
    memory_reservation: Option<i64>,
    /// Limit of memory and swap together; '-1' for unlimited swap
    #[arg(long, value_name = "bytes", value_parser = number::memory_swap)]
    memory_swap: Option<i64>,
    /// Limit of processes (-1 for unlimited)
    #[arg(long, value_name = "int", value_parser = number::integer)]
    pids_limit: Option<i64>,
    /// When to start it again after it exits
    #[arg(long, value_name = "string")]
    restart: Option<String>,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Update {
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Update configuration of one or more containers";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let config = self.config()?;
        if config == UpdateConfig::default() && self.kernel_memory.is_none() {
            return Err("you must provide one or more flags when using this command".into());
        }
        let client = session.client()?;
        let mut failures = Vec::new();
        let mut warnings = Vec::new();
        for container in &self.containers {
            let call = Call::post(path(container, "update")).json(&config)?;
            match client.fetch::<UpdateResponse>(call).await {
                Ok(response) => {
                    put_line(container)?;
                    warnings.extend(response.warnings.unwrap_or_default());
                }
                Err(error) => failures.push(error.into()),
            }
        }
        if !warnings.is_empty() {
            warn(&warnings.join("\n"));
        }
        Failure::join(failures)
    }
}

impl Update {
    fn config(&self) -> Result<UpdateConfig, Failure> {
        let resources = Resources {
            blkio_weight: self.blkio_weight.unwrap_or(0),
            cpu_period: self.cpu_period.unwrap_or(0),
            cpu_quota: self.cpu_quota.unwrap_or(0),
            cpu_realtime_period: self.cpu_rt_period.unwrap_or(0),
            cpu_realtime_runtime: self.cpu_rt_runtime.unwrap_or(0),
            cpu_shares: self.cpu_shares.unwrap_or(0),
            nano_cpus: self.cpus.unwrap_or(0),
            cpuset_cpus: self.cpuset_cpus.clone().unwrap_or_default(),
            cpuset_mems: self.cpuset_mems.clone().unwrap_or_default(),
            memory: self.memory.unwrap_or(0),
            memory_reservation: self.memory_reservation.unwrap_or(0),
            memory_swap: self.memory_swap.unwrap_or(0),
            pids_limit: self.pids_limit,
            ..Resources::default()
        };
        let restart_policy = restart::parse(self.restart.as_deref().unwrap_or(""))?;
        Ok(UpdateConfig { resources, restart_policy })
    }
}
