//! `create`: everything but running the program.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Outcome, Verb};
use crate::container::ContainerId;
use crate::launch::{Connection, Creation, launch};
use crate::options::Global;

/// Flags that `create` and `run` share.
#[derive(Debug, Args)]
pub(super) struct BundleArgs {
    /// your name for the instance of the container, unique on your host
    #[arg(value_name = "CONTAINER-ID")]
    pub(super) id: ContainerId,
    /// path to the root of the bundle directory, defaults to the current directory
    #[arg(long, short)]
    pub(super) bundle: Option<PathBuf>,
    /// path to an AF_UNIX socket which will receive a file descriptor referencing the master end of the console's
    /// pseudoterminal
    #[arg(long)]
    pub(super) console_socket: Option<PathBuf>,
    /// path to an AF_UNIX socket which will receive a file descriptor referencing the init process
    #[arg(long)]
    pub(super) pidfd_socket: Option<PathBuf>,
    /// specify the file to write the process id to
    #[arg(long)]
    pub(super) pid_file: Option<PathBuf>,
    /// do not use pivot root to jail process inside rootfs. This should be used whenever the rootfs is on top of a
    /// ramdisk
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// do not create a new session keyring for the container. This will cause the container to inherit the calling
    /// processes session key
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    /// Pass N additional file descriptors to the container (stdio + $LISTEN_FDS + N in total)
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) preserve_fds: i32,
}

impl BundleArgs {
    /// What the flags ask for, in the way that `create` does it.
    pub(super) fn creation(self, global: &Global) -> Creation<'_> {
        let none = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        Creation {
            id: self.id,
            root: &global.root,
            bundle: none(self.bundle),
            connection: Connection {
                console_socket: none(self.console_socket),
                pidfd_socket: none(self.pidfd_socket),
                pid_file: none(self.pid_file),
                preserve_fds: self.preserve_fds,
                detach: true,
            },
            waits: true,
            keep: true,
            subreaper: false,
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            systemd_cgroup: global.systemd_cgroup,
            rootless_cgroups: global.rootless_cgroups,
        }
    }
}

/// What stands in front of its errors.
pub(super) const FAILED: &str = "runc create failed";

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    bundle: BundleArgs,
}

impl Verb for CreateArgs {
    const NAME: &str = "create";
    const HELP: &str = "create a container";

    fn run(self, global: &Global) -> Outcome {
        launch(self.bundle.creation(global)).map_err(Failure::from).map_err(Failure::context(FAILED, 1))
    }
}
