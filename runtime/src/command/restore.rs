//! `restore`: a container from the images of a checkpoint.

use std::path::PathBuf;

use clap::Args;

use super::checkpoint::ImageArgs;
use super::{Outcome, Verb};
use crate::container::ContainerId;
use crate::launch::{Connection, Creation, Restoration, restore};
use crate::options::Global;

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// path to an AF_UNIX socket which will receive a file descriptor referencing the master end of the console's
    /// pseudoterminal
    #[arg(long)]
    console_socket: Option<PathBuf>,
    #[command(flatten)]
    images: ImageArgs,
    /// path to the root of the bundle directory
    #[arg(long, short)]
    bundle: Option<PathBuf>,
    /// detach from the container's process
    #[arg(long, short)]
    detach: bool,
    /// specify the file to write the process id to
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// disable the use of the subreaper used to reap reparented processes
    #[arg(long)]
    no_subreaper: bool,
    /// do not use pivot root to jail process inside rootfs. This should be used whenever the rootfs is on top of a
    /// ramdisk
    #[arg(long)]
    no_pivot: bool,
    /// Specify an LSM profile to be used during restore in the form of TYPE:NAME.
    #[arg(long)]
    lsm_profile: Option<String>,
    /// Specify an LSM mount context to be used during restore.
    #[arg(long)]
    lsm_mount_context: Option<String>,
    /// your name for the instance of the container to be restored
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
}

impl Verb for RestoreArgs {
    const NAME: &str = "restore";
    const HELP: &str = "restore a container from a previous checkpoint";

    fn run(self, global: &Global) -> Outcome {
        let none = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        let creation = Creation {
            id: self.id,
            root: &global.root,
            bundle: none(self.bundle),
            connection: Connection {
                console_socket: none(self.console_socket),
                pid_file: none(self.pid_file),
                detach: self.detach,
                ..Connection::default()
            },
            waits: false,
            keep: false,
            subreaper: !self.no_subreaper,
            no_pivot: self.no_pivot,
            no_new_keyring: true,
            systemd_cgroup: global.systemd_cgroup,
            rootless_cgroups: global.rootless_cgroups,
        };
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let restoration = Restoration {
            creation,
            common: self.images.common()?,
            lsm_profile: given(self.lsm_profile),
            lsm_mount_context: given(self.lsm_mount_context),
        };
        Ok(restore(restoration)?)
    }
}
