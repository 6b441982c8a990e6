//! `checkpoint`: a running container into images.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use clap::Args;
use rustix::fs::OFlags;

use super::{Outcome, Refusal, Verb, open};
use crate::container::{ContainerId, Status};
use crate::criu::{self, CgroupMode, Common, Dump};
use crate::log;
use crate::options::Global;

/// Flags that `checkpoint` and `restore` share.
#[derive(Debug, Args)]
pub(super) struct ImageArgs {
    /// path to the folder of CRIU's image files
    #[arg(long)]
    image_path: Option<PathBuf>,
    /// path for saving work files and logs
    #[arg(long)]
    work_path: Option<PathBuf>,
    /// allow open tcp connections
    #[arg(long)]
    tcp_established: bool,
    /// allow external unix sockets
    #[arg(long)]
    ext_unix_sk: bool,
    /// allow shell jobs
    #[arg(long)]
    shell_job: bool,
    /// use userfaultfd to lazily restore memory pages
    #[arg(long)]
    lazy_pages: bool,
    /// handle file locks, for safety
    #[arg(long)]
    file_locks: bool,
    /// cgroups mode: soft|full|strict|ignore (default: soft)
    #[arg(long)]
    manage_cgroups_mode: Option<String>,
    /// create a namespace, but don't restore its properties
    #[arg(long)]
    empty_ns: Vec<String>,
    /// enable auto deduplication of memory images
    #[arg(long)]
    auto_dedup: bool,
}

impl ImageArgs {
    /// Checks the flags, and makes paths independent of the working directory.
    pub(super) fn common(self) -> Result<Common, super::Failure> {
        if !rustix::process::geteuid().is_root() {
            log::warn("checkpoint and restore are untested with rootless containers");
        }
        let given = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        let images = given(self.image_path).unwrap_or_else(|| PathBuf::from("checkpoint"));
        // The network is never restored: the only one that can be named changes nothing.
        if let Some(other) = self.empty_ns.iter().find(|name| *name != "network") {
            return Err(Refusal(format!("namespace {other:?} is not supported")).into());
        }
        Ok(Common {
            images: std::path::absolute(images)?,
            work: given(self.work_path).map(std::path::absolute).transpose()?,
            tcp_established: self.tcp_established,
            external_sockets: self.ext_unix_sk,
            shell_job: self.shell_job,
            file_locks: self.file_locks,
            cgroups: cgroup_mode(self.manage_cgroups_mode.as_deref())?,
            auto_dedup: self.auto_dedup,
            lazy_pages: self.lazy_pages,
        })
    }
}

fn cgroup_mode(name: Option<&str>) -> Result<CgroupMode, Refusal> {
    Ok(match name.unwrap_or_default() {
        "" => CgroupMode::Default,
        "soft" => CgroupMode::Soft,
        "full" => CgroupMode::Full,
        "strict" => CgroupMode::Strict,
        "ignore" => CgroupMode::Ignore,
        _ => return Err(Refusal("invalid manage-cgroups-mode value".to_owned())),
    })
}

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct CheckpointArgs {
    #[command(flatten)]
    images: ImageArgs,
    /// path for previous criu image files in pre-dump
    #[arg(long)]
    parent_path: Option<String>,
    /// leave the process running after checkpointing
    #[arg(long)]
    leave_running: bool,
    /// skip in-flight tcp connections
    #[arg(long)]
    tcp_skip_in_flight: bool,
    /// allow one to link unlinked files back when possible
    #[arg(long)]
    link_remap: bool,
    /// criu writes \0 to this FD once lazy-pages is ready
    #[arg(long, default_value_t = -1)]
    status_fd: i32,
    /// ADDRESS:PORT of the page server
    #[arg(long)]
    page_server: Option<String>,
    /// dump container's memory information only, leave the container running after this
    #[arg(long)]
    pre_dump: bool,
    /// the container
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
}

impl Verb for CheckpointArgs {
    const NAME: &str = "checkpoint";
    const HELP: &str = "checkpoint a running container";

    fn run(self, global: &Global) -> Outcome {
        let container = open(global, &self.id)?;
        match container.status()? {
            status @ (Status::Created | Status::Stopped | Status::Creating) => {
                let text = format!("Container cannot be checkpointed in {} state", status.name());
                return Err(Refusal(text).into());
            }
            Status::Running | Status::Paused => {}
        }
        let common = self.images.common()?;
        criu::make_folder(&common.images)?;
        let parent = self.parent_path.filter(|path| !path.is_empty());
        if let Some(parent) = &parent {
            check_parent(&common, parent)?;
        }
        let page_server = self.page_server.filter(|text| !text.is_empty());
        let status = match self.status_fd {
            number if number >= 0 && common.lazy_pages => Some(status_fd(number)?),
            _ => None,
        };
        let goes_on = self.leave_running || self.pre_dump;
        let dump = Dump {
            common,
            parent,
            leave_running: self.leave_running,
            skip_in_flight: self.tcp_skip_in_flight,
            link_remap: self.link_remap,
            memory_only: self.pre_dump,
            page_server: page_server.as_deref().map(server).transpose()?,
            status,
        };
        let spec = container.spec()?;
        criu::dump(&container, &spec, dump)?;
        if !goes_on && let Err(error) = container.destroy(&spec) {
            log::warn(&crate::error::chain(&error));
        }
        Ok(0)
    }
}

fn check_parent(common: &Common, parent: &str) -> Result<(), super::Failure> {
    if parent.starts_with('/') {
        return Err(Refusal("--parent-path must be relative".to_owned()).into());
    }
    let path = common.images.join(parent);
    let invalid =
        |reason: String| Refusal(format!("invalid --parent-path: stat {}: {reason}", path.display()));
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(invalid("not a directory".to_owned()).into()),
        Err(error) => Err(invalid(crate::error::chain(&error)).into()),
    }
}

/// `ADDRESS:PORT`; a v6 address stands in brackets.
fn server(text: &str) -> Result<(String, u16), Refusal> {
    let refused = || Refusal("Use --page-server ADDRESS:PORT to specify page server".to_owned());
    let (address, port) = text.rsplit_once(':').ok_or_else(refused)?;
    let address = match address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().map_err(|_| refused())?.to_string(),
        None if address.is_empty() || address.contains(':') => return Err(refused()),
        None => address.to_owned(),
    };
    if port.is_empty() {
        return Err(refused());
    }
    let port = port.parse().ok().filter(|port| *port != 0);
    Ok((address, port.ok_or_else(|| Refusal("Invalid port number".to_owned()))?))
}

fn status_fd(number: i32) -> Result<std::os::fd::OwnedFd, Refusal> {
    let invalid = |reason: &str| Refusal(format!("invalid --status-fd argument {number}: {reason}"));
    let opened =
        dhow_linux::spawn::inherited(number).map_err(|error| invalid(&crate::error::chain(&error)))?;
    let flags = rustix::fs::fcntl_getfl(&opened).map_err(|_| invalid("not open"))?;
    if flags.intersects(OFlags::WRONLY | OFlags::RDWR) { Ok(opened) } else { Err(invalid("not writable")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_servers_have_an_address_and_a_port() {
        let ok = |text| server(text).map(|(address, port)| format!("{address} {port}")).ok();
        assert_eq!(ok("0.0.0.0:27277").as_deref(), Some("0.0.0.0 27277"));
        assert_eq!(ok("[::1]:80").as_deref(), Some("::1 80"));
        for bad in ["host", ":80", "host:", "host:x", "host:0", "host:70000", "::1:80"] {
            assert_eq!(ok(bad), None, "{bad}");
        }
    }
}
