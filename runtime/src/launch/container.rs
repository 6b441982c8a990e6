//! A new container.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dhow_linux::process::Stat;
use rustix::process::Pid;

use super::bundle::{self, Bundle};
use super::dialogue::{Dialogue, Partner};
use super::foreground::Foreground;
use super::limits::Clamped;
use super::setup::{self, setup};
use super::spawn::Child;
use super::undo::{Folder, Undo};
use super::{Connection, LaunchError, identity, limits, mapping};
use crate::cgroup::{Manager, Owner};
use crate::container::{Container, ContainerId, Init, OciState, State, Status, unfinished};
use crate::hook::{self, Moment};
use crate::init;
use crate::log;
use crate::network;
use crate::notify::{Listener, Notify};
use crate::resctrl::{self, Class, Resctrl};
use crate::spec::{NamespaceKind, Spec};

/// What `create` and `run` ask for.
#[derive(Debug)]
pub(crate) struct Creation<'a> {
    /// The new container's id.
    pub(crate) id: ContainerId,
    /// Where containers are kept.
    pub(crate) root: &'a Path,
    /// The bundle; none for the working directory.
    pub(crate) bundle: Option<PathBuf>,
    /// How its process is connected.
    pub(crate) connection: Connection,
    /// Whether its program waits for `start`.
    pub(crate) waits: bool,
    /// Whether it stays after its end (only in the foreground).
    pub(crate) keep: bool,
    /// Whether orphans of the container become children of the runtime (only in the foreground).
    pub(crate) subreaper: bool,
    /// Whether the root moves instead of being pivoted to.
    pub(crate) no_pivot: bool,
    /// Whether the session keyring is the caller's.
    pub(crate) no_new_keyring: bool,
    /// Whether systemd makes the cgroup.
    pub(crate) systemd_cgroup: bool,
    /// Whether cgroups may fail.
    pub(crate) rootless_cgroups: bool,
}

/// Makes a container; in the foreground also waits for its end. Gives the exit status.
pub(crate) fn launch(creation: Creation<'_>) -> Result<i32, LaunchError> {
    let mut _step = log::step("seal");
    super::seal()?;
    _step = log::step("configuration");
    let connection = creation.connection.clone().absolute()?;
    let path = bundle::enter(creation.bundle.as_deref())?;
    let folder = Folder::reserve(creation.root, &creation.id)?;
    let notify = Notify::of(folder.path());
    let bundle = Bundle::read(path, notify.as_ref(), creation.no_pivot)?;
    let spec = &bundle.spec;
    connection.check(bundle.process()?.terminal)?;

    _step = log::step("cgroup");
    let mut undo = begin_cgroups(&creation, spec, folder.path())?;
    let overlap = undo.cgroups.may_overlap() && !setup::waits(spec) && !spec.has(NamespaceKind::User);
    if !overlap {
        undo.cgroups.complete(spec.linux.resources.as_ref())?;
        setup::cgroup_owner(spec).map_or(Ok(()), |owner| undo.cgroups.delegate(owner))?;
    }
    undo.class = make_class(spec, creation.id.as_str(), folder.path())?;

    _step = log::step("prepare");
    let mut state = bundle.state(&creation.id);
    state.no_new_keyring = creation.no_new_keyring;
    state.resctrl = undo.class.clone();
    let notify = notify.filter(|_| !creation.waits).map(Notify::listen).transpose()?.flatten();
    let foreground = Foreground::prepare(&connection, creation.subreaper)?;
    let (setup, terminal) = setup(&creation, &connection, &bundle, folder.path(), &undo.cgroups, overlap)?;
    _step = log::step("clone");
    let child = setup::start(setup)?;
    log::debug(&format!("nsexec container setup: first process is {}", child.pid.as_raw_nonzero()));
    undo.child = Some(child.handle.try_clone().map_err(LaunchError::call("dup the pidfd"))?);
    if overlap {
        _step = log::step("cgroup, while the namespaces are made");
        complete_cgroups(&mut undo.cgroups, spec, &child)?;
    }
    _step = log::step("wait for the container to be made");
    if let Err(error) = accompany(&child, &bundle, folder.path(), &mut undo, &mut state) {
        drop(undo);
        drop(folder);
        state.run_poststop(spec);
        return Err(error);
    }
    _step = log::step("finish");
    log::debug("init: closing the pipe to signal completion");
    connection.write_pid(child.pid.as_raw_nonzero().get())?;
    let container = Container::new(folder.path().to_owned(), state, undo.cgroups.clone());
    if !creation.waits {
        run_poststart(&container, spec)?;
    }
    undo.keep();
    folder.keep();
    tell_readiness(notify.as_ref(), child.pid, connection.detach);
    if connection.detach {
        return Ok(0);
    }
    _step = log::step("run");
    let status = foreground.wait(child.pid, terminal)?;
    _step = log::step("delete");
    if !creation.keep
        && let Err(error) = container.destroy(spec)
    {
        log::warn(&crate::error::chain(&error));
    }
    Ok(status)
}

/// Makes the first of the cgroups, once it is noted where they are.
pub(super) fn begin_cgroups(
    creation: &Creation<'_>,
    spec: &Spec,
    folder: &Path,
) -> Result<Undo, LaunchError> {
    let cgroups = open_cgroups(creation, spec)?;
    let path = cgroups.place_of_unit().unwrap_or_else(|| spec.linux.cgroups_path.clone());
    unfinished::note_cgroup(folder, &path)?;
    Undo::begin(cgroups, spec.linux.resources.as_ref()).map_err(Into::into)
}

/// Makes the other cgroups and sets the limits, and opens them to the child that makes its namespaces meanwhile.
fn complete_cgroups(cgroups: &mut Manager, spec: &Spec, child: &Child) -> Result<(), LaunchError> {
    let refused = cgroups.complete(spec.linux.resources.as_ref())?;
    let join = cgroups.join()?;
    // A child that died says why in the dialogue.
    drop(child.channel.send_doors(&refused, &join.doors()));
    Ok(())
}

fn open_cgroups(creation: &Creation<'_>, spec: &Spec) -> Result<Manager, LaunchError> {
    let path = Some(Path::new(&spec.linux.cgroups_path));
    let id = creation.id.as_str();
    let manager = if creation.systemd_cgroup {
        let owner = if creation.rootless_cgroups { Owner::User } else { Owner::System };
        Manager::with_systemd(path, id, &spec.annotations, owner)?
    } else {
        Manager::new(path, id)?
    };
    Ok(manager.rootless(creation.rootless_cgroups))
}

/// Makes the class of service that the spec asks for.
fn make_class(spec: &Spec, id: &str, folder: &Path) -> Result<Option<Class>, LaunchError> {
    let (Some(asked), Some(resctrl)) = (&spec.linux.intel_rdt, Resctrl::find()) else { return Ok(None) };
    let class = resctrl.plan(asked, id);
    if class.own {
        unfinished::note_class(folder, &class.path)?;
    }
    resctrl.create(&class, asked).inspect_err(|_| drop(class.remove()))?;
    Ok(Some(class))
}

/// Where the container's network is: what it joins it has not joined yet.
fn network_namespace(child: &Child, spec: &Spec) -> String {
    let joined = spec.namespace(NamespaceKind::Network).filter(|namespace| !namespace.path.is_empty());
    joined
        .map_or_else(|| format!("/proc/{}/ns/net", child.pid.as_raw_nonzero()), |joined| joined.path.clone())
}

/// Does the parent's part until the child waits for `start` or has become its program.
fn accompany(
    child: &Child,
    bundle: &Bundle,
    folder: &Path,
    undo: &mut Undo,
    state: &mut State,
) -> Result<(), LaunchError> {
    let (spec, cgroups) = (&bundle.spec, &mut undo.cgroups);
    state.cgroup_paths = cgroups.paths();
    state.systemd_unit = cgroups.unit_name().map(str::to_owned);
    state.systemd_user = cgroups.is_of_user();
    if cgroups.is_of_user() {
        cgroups.attach("", child.pid.as_raw_nonzero().get())?;
    }
    let clamped = prepare_child(child, spec, undo.class.as_ref())?;
    // While the child makes its mounts.
    let stat = Stat::of(child.pid).map_err(LaunchError::call("read the start time of the container"))?;
    state.init = Some(Init { pid: child.pid.as_raw_nonzero().get(), start_time: stat.start_time });
    state.created = log::rfc3339(SystemTime::now(), true);
    state.save(folder)?;
    let mut creator = Creator { spec, state, child, bundle: &bundle.path, clamped };
    Dialogue { child, cgroups, listener: spec.linux.seccomp.as_ref(), ahead: asks_nothing(spec) }
        .hold(&mut creator)?;
    cgroups.settle();
    Ok(())
}

/// Whether the child asks its parent for nothing while it is being made: no limits, no hooks, no owners.
fn asks_nothing(spec: &Spec) -> bool {
    let limits = spec.process.as_ref().is_some_and(|process| !process.rlimits.is_empty());
    !limits && !init::runs_in_parent(spec.hooks.as_ref()) && !spec.has(NamespaceKind::User)
}

/// Passes on to the service manager what the container says of its readiness.
fn tell_readiness(listener: Option<&Listener>, pid: Pid, detach: bool) {
    match listener {
        Some(listener) if detach => listener.forward(pid, pid.as_raw_nonzero().get()),
        Some(listener) => listener.forward_meanwhile(pid),
        None => {}
    }
}

/// What only the parent may do to the child.
fn prepare_child(child: &Child, spec: &Spec, class: Option<&Class>) -> Result<Clamped, LaunchError> {
    let mut clamped = Clamped::default();
    if spec.creates(NamespaceKind::User) {
        identity::write_maps(child.pid, &spec.linux)?;
    }
    if !spec.linux.net_devices.is_empty() {
        network::move_devices(spec, &network_namespace(child, spec))?;
    }
    if let Some(class) = class {
        resctrl::adopt(class, child.pid)?;
    }
    if setup::waits(spec) {
        child.channel.go().map_err(LaunchError::call("sync with the container"))?;
    }
    if let Some(score) = spec.process.as_ref().and_then(|process| process.oom_score_adj) {
        limits::set_oom_score(child.pid, score, &mut clamped)?;
    }
    Ok(clamped)
}

fn run_poststart(container: &Container, spec: &Spec) -> Result<(), LaunchError> {
    let state = &container.state;
    let pid = state.init.map_or(0, |init| init.pid);
    let oci = OciState::new(state.id.as_str(), Status::Running, pid, &state.bundle, &spec.annotations);
    hook::run(spec.hooks.as_ref(), Moment::Poststart, &oci, None).map_err(LaunchError::Poststart)
}

/// What the parent does when the new container's first process asks.
struct Creator<'a> {
    spec: &'a Spec,
    state: &'a State,
    child: &'a Child,
    bundle: &'a Path,
    clamped: Clamped,
}

impl Partner for Creator<'_> {
    fn map_owners(&mut self, place: usize, tree: &OwnedFd) -> Result<(), LaunchError> {
        mapping::map_owners(self.spec, place, tree)
    }

    fn mounted(&mut self) -> Result<(), LaunchError> {
        let (hooks, oci) = (self.spec.hooks.as_ref(), self.oci_state(Status::Creating));
        hook::run(hooks, Moment::Prestart, &oci, None)?;
        hook::run(hooks, Moment::CreateRuntime, &oci, None)?;
        Ok(())
    }

    fn ready(&mut self) -> Result<(), LaunchError> {
        let pid: Pid = self.child.pid;
        if let Some(process) = &self.spec.process {
            limits::set_rlimits(pid, &process.rlimits, &mut self.clamped)?;
        }
        self.clamped.tell();
        log::debug("child process in init() is ready");
        Ok(())
    }

    fn oci_state(&self, status: Status) -> OciState<'_> {
        let pid = self.child.pid.as_raw_nonzero().get();
        OciState::new(self.state.id.as_str(), status, pid, self.bundle, &self.spec.annotations)
    }
}
