//! A container from images: what `run` does around the program, with CRIU in the place of clone and exec.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dhow_linux::clone::{self, NamespaceFlags, Side};
use dhow_linux::file::PathError;
use dhow_linux::mount::{Depth, clone_tree, move_onto};
use dhow_linux::process::Stat;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open};
use serde_json::value::RawValue;

use super::bundle::{self, Bundle};
use super::container::begin_cgroups;
use super::foreground::Foreground;
use super::undo::{Folder, Undo};
use super::{Creation, LaunchError, stdio};
use crate::cgroup::Manager;
use crate::container::destroy::unmount_root;
use crate::container::{Container, Init, OciState, RESTORED_ROOT, State, Status};
use crate::criu::{self, Common, Notification, Restore};
use crate::hook::{self, Moment};
use crate::init::sync::{Message, pair};
use crate::init::{Console, send_descriptor};
use crate::log;
use crate::notify::Notify;
use crate::rootfs::Rootfs;
use crate::spec::{self, Spec};

/// What `restore` asks for.
#[derive(Debug)]
pub(crate) struct Restoration<'a> {
    /// The container around it; it never waits for `start`.
    pub(crate) creation: Creation<'a>,
    /// What checkpoint has as well.
    pub(crate) common: Common,
    /// `TYPE:NAME` of another LSM profile.
    pub(crate) lsm_profile: Option<String>,
    /// Another context of mounts.
    pub(crate) lsm_mount_context: Option<String>,
}

/// Makes a container from images; in the foreground also waits for its end. Gives the exit status.
pub(crate) fn restore(restoration: Restoration<'_>) -> Result<i32, LaunchError> {
    let Restoration { creation, common, lsm_profile, lsm_mount_context } = restoration;
    let connection = creation.connection.clone().absolute()?;
    let path = bundle::enter(creation.bundle.as_deref())?;
    let folder = Folder::reserve(creation.root, &creation.id)?;
    // The images have the mount of a socket for readiness; what the container had to say it has said.
    let bundle = Bundle::read(path, Notify::of(folder.path()).as_ref(), creation.no_pivot)?;
    let spec = &bundle.spec;
    let process = bundle.process()?;
    connection.check(process.terminal)?;
    let mut undo = begin_cgroups(&creation, spec, folder.path())?;
    undo.cgroups.complete(spec.linux.resources.as_ref())?;
    let cgroups = undo.cgroups.clone();

    let mut state = bundle.state(&creation.id);
    state.cgroup_paths = cgroups.paths();
    state.systemd_unit = cgroups.unit_name().map(str::to_owned);
    state.systemd_user = cgroups.is_of_user();
    // The session keyring is not part of an image: what exec would join is not the container's.
    state.no_new_keyring = true;
    let foreground = Foreground::prepare(&connection, creation.subreaper)?;
    let (console, terminal) = stdio::console(process, &connection)?;
    make_mount_points(spec, &bundle.rootfs, &cgroups)?;
    let root = Root::mount(folder.path(), &bundle.rootfs)?;
    let request = Restore {
        common: &common,
        lsm_profile: lsm_profile.as_deref(),
        lsm_mount_context: lsm_mount_context.as_deref(),
        spec,
        bundle: &bundle.path,
        rootfs: bundle.rootfs.clone(),
        root: &root.0,
        cgroups: &cgroups,
        streams: !process.terminal,
    };
    let mut listener = Listener { spec, bundle: &bundle.path, state, console, undo: &mut undo };
    let adds_time = criu::restore(&request, |heard| listener.hear(heard))?;
    let mut state = listener.state;
    // What kept the cgroups alive before the restored processes goes with the last that knows of it.
    drop((root, cgroups));
    let init = state.init.ok_or_else(|| LaunchError::Usage("criu restored no process".to_owned()))?;
    if adds_time {
        // For exec: the processes are in a time namespace that the configuration says nothing of.
        state.config = with_time_namespace(&state.config)?;
    }
    state.save(folder.path())?;
    undo.cgroups.settle();
    connection.write_pid(init.pid)?;
    let container = Container::new(folder.path().to_owned(), state, undo.cgroups.clone());
    undo.keep();
    folder.keep();
    if connection.detach {
        return Ok(0);
    }
    let pid = Pid::from_raw(init.pid).ok_or_else(|| LaunchError::Usage("pid 0".to_owned()))?;
    let status = foreground.wait(pid, terminal)?;
    if let Err(error) = container.spec().and_then(|spec| container.destroy(&spec)) {
        log::warn(&crate::error::chain(&error));
    }
    Ok(status)
}

fn with_time_namespace(config: &RawValue) -> Result<Box<RawValue>, LaunchError> {
    let failed = |source| spec::LoadError::Decode { name: "config.json".to_owned(), source };
    let mut value: serde_json::Value = serde_json::from_str(config.get()).map_err(failed)?;
    if let Some(namespaces) = value.pointer_mut("/linux/namespaces").and_then(serde_json::Value::as_array_mut)
    {
        namespaces.push(serde_json::json!({"type": "time"}));
    }
    bundle::raw(value.to_string())
}

/// Makes what CRIU mounts on, in a process of its own: what it mounts for that is gone with it, whatever happens.
fn make_mount_points(spec: &Spec, rootfs: &Path, cgroups: &Manager) -> Result<(), LaunchError> {
    let (listen, tell) = pair().map_err(LaunchError::call("socketpair"))?;
    let options = clone::Options { namespaces: NamespaceFlags::MOUNT, ..clone::Options::default() };
    match clone::clone3(&options).map_err(LaunchError::call("clone3"))? {
        Side::Child => {
            drop(listen);
            let made = Rootfs::open(spec, rootfs, cgroups).and_then(|root| root.make_mount_points());
            if let Err(error) = made {
                drop(tell.send(&Message::Failed(crate::error::chain(&error))));
            }
            dhow_linux::exec::exit_now(0)
        }
        Side::Parent { pid, .. } => {
            drop(tell);
            let answer = listen.receive().map_err(LaunchError::call("make the mount points"))?;
            rustix::process::waitpid(Some(pid), WaitOptions::empty())
                .map_err(LaunchError::call("wait for the helper"))?;
            match answer {
                Some(Message::Failed(text)) => {
                    Err(LaunchError::Usage(format!("create criu restore mountpoint: {text}")))
                }
                _ => Ok(()),
            }
        }
    }
}

/// The root file system as CRIU wants it: a mount, whose parent is not covered.
#[derive(Debug)]
struct Root(PathBuf);

impl Root {
    fn mount(folder: &Path, rootfs: &Path) -> Result<Self, LaunchError> {
        let root = Self(folder.join(RESTORED_ROOT));
        criu::make_folder(&root.0)?;
        let target = rustix::fs::open(&root.0, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| PathError::at("open", &root.0)(error.into()))?;
        let tree =
            clone_tree(CWD, rootfs, Depth::Tree).map_err(LaunchError::call("clone the rootfs mount"))?;
        move_onto(&tree, &target).map_err(LaunchError::call("bind the rootfs for criu"))?;
        Ok(root)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let removed = self.0.parent().map(unmount_root).transpose();
        if let Err(error) = removed {
            log::warn(&crate::error::chain(&error));
            return;
        }
        // Only a folder that is empty again goes.
        drop(std::fs::remove_dir(&self.0));
    }
}

/// What this side does when CRIU tells where it is.
struct Listener<'a> {
    spec: &'a Spec,
    bundle: &'a Path,
    state: State,
    console: Option<Console>,
    undo: &'a mut Undo,
}

impl Listener<'_> {
    fn hear(&mut self, heard: Notification) -> Result<(), LaunchError> {
        match heard.script.as_str() {
            "setup-namespaces" => self.run_hooks(heard.pid),
            "orphan-pts-master" => self.pass_terminal(heard.descriptor),
            "post-restore" => self.restored(heard.pid),
            _ => Ok(()),
        }
    }

    fn run_hooks(&self, pid: i32) -> Result<(), LaunchError> {
        let (hooks, id) = (self.spec.hooks.as_ref(), self.state.id.as_str());
        let oci = OciState::new(id, Status::Creating, pid, self.bundle, &self.spec.annotations);
        hook::run(hooks, Moment::Prestart, &oci, None)?;
        hook::run(hooks, Moment::CreateRuntime, &oci, None).map_err(Into::into)
    }

    fn pass_terminal(&mut self, master: Option<OwnedFd>) -> Result<(), LaunchError> {
        let (Some(console), Some(master)) = (self.console.take(), master) else { return Ok(()) };
        send_descriptor(console.socket.as_fd(), b"/dev/ptmx", master.as_fd())
            .map_err(LaunchError::call("send the terminal to the console socket"))
    }

    /// All is as it was, and about to go on.
    fn restored(&mut self, pid: i32) -> Result<(), LaunchError> {
        let failed = || LaunchError::Usage(format!("criu restored pid {pid}"));
        let process = Pid::from_raw(pid).ok_or_else(failed)?;
        let handle = pidfd_open(process, PidfdFlags::empty()).map_err(LaunchError::call("pidfd_open"))?;
        self.undo.child = Some(handle);
        let stat = Stat::of(process).map_err(LaunchError::call("read the start time of the container"))?;
        self.state.init = Some(Init { pid, start_time: stat.start_time });
        self.state.created = log::rfc3339(SystemTime::now(), true);
        Ok(())
    }
}
