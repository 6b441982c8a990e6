//! A new container.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dhow_linux::clone::NamespaceFlags;
use dhow_linux::file::PathError;
use dhow_linux::process::Stat;
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use serde_json::value::RawValue;

use super::dialogue::{Dialogue, Partner};
use super::foreground::Foreground;
use super::limits::Clamped;
use super::spawn::{Child, Plan, spawn};
use super::undo::Undo;
use super::{Connection, LaunchError, identity, limits, mapping, stdio};
use crate::cgroup::{Manager, Owner};
use crate::container::{Container, ContainerId, Init, OciState, State, Status, unfinished};
use crate::hook::{self, Moment};
use crate::init::{self, Setup, Task};
use crate::log;
use crate::network;
use crate::notify::Notify;
use crate::resctrl::{self, Class, Resctrl};
use crate::rootfs::Entrance;
use crate::spec::{self, NamespaceKind, Spec};
use crate::validate::validate;

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
    let bundle = enter_bundle(creation.bundle.as_deref())?;
    let folder = Container::reserve(creation.root, &creation.id)?;
    let mut undo = Undo::new(folder.clone());
    let mut loaded = spec::load(Path::new("config.json"))?;
    let notify = Notify::of(&folder);
    if let Some(notify) = &notify {
        loaded = notify.prepare(&loaded.1)?;
    }
    let (spec, text) = loaded;
    let rootfs = validate(&spec, &bundle, creation.no_pivot)?;
    let process = crate::validate::process(spec.process.as_ref())?;
    connection.check(process.terminal)?;

    _step = log::step("cgroup");
    let mut cgroups = open_cgroups(&creation, &spec)?;
    unfinished::note_cgroup(
        &folder,
        &cgroups.place_of_unit().unwrap_or_else(|| spec.linux.cgroups_path.clone()),
    )?;
    let overlap = cgroups.may_overlap() && !prepares_child(&spec) && !spec.has(NamespaceKind::User);
    cgroups.begin(spec.linux.resources.as_ref())?;
    undo.cgroups = Some(cgroups.clone());
    if !overlap {
        complete_cgroups(&mut cgroups, &spec, &mut undo)?;
    }

    undo.class = make_class(&spec, creation.id.as_str(), &folder)?;

    _step = log::step("prepare");
    let config = RawValue::from_string(String::from_utf8_lossy(&text).into_owned());
    let config =
        config.map_err(|source| spec::LoadError::Decode { name: "config.json".to_owned(), source })?;
    let mut state = State::new(creation.id.clone(), bundle.clone(), rootfs.clone(), config);
    state.systemd_unit = cgroups.unit_name().map(str::to_owned);
    state.systemd_user = cgroups.is_of_user();
    state.resctrl = undo.class.clone();
    state.no_new_keyring = creation.no_new_keyring;
    if !process.terminal {
        state.descriptors = stdio::names();
    }

    let mut task = Task::new(process, &spec.linux)?;
    task.sets_groups = rustix::process::geteuid().is_root();
    task.keyring = keyring(&creation, &spec)?;
    let notify = notify.filter(|_| !creation.waits).map(Notify::listen).transpose()?.flatten();
    let foreground = Foreground::prepare(&connection, creation.subreaper)?;
    let terminal = stdio::connect_task(&mut task, &connection)?;
    let setup = Setup {
        id: creation.id.as_str(),
        bundle: bundle.clone(),
        spec: &spec,
        rootfs,
        entrance: entrance(&creation, &spec),
        join: if overlap { None } else { Some(cgroups.join()?) },
        cgroups: cgroups.clone(),
        must_join: !creation.rootless_cgroups,
        joined: open_namespaces(&spec)?,
        early: if overlap { created(&spec).without(BORN) } else { NamespaceFlags::default() },
        unshared: if spec.creates(NamespaceKind::Cgroup) {
            NamespaceFlags::CGROUP
        } else {
            NamespaceFlags::default()
        },
        waits: prepares_child(&spec),
        prepared: mapping::prepare(&spec)?,
        task,
        fifo: creation.waits.then(|| make_fifo(&folder)).transpose()?,
    };
    _step = log::step("clone");
    let child = start(setup)?;
    log::debug(&format!("nsexec container setup: first process is {}", child.pid.as_raw_nonzero()));
    undo.child = Some(child.handle.as_fd().try_clone_to_owned().map_err(LaunchError::call("dup the pidfd"))?);
    if overlap {
        _step = log::step("cgroup, while the namespaces are made");
        let refused = complete_cgroups(&mut cgroups, &spec, &mut undo)?;
        let join = cgroups.join()?;
        // A child that died says why in the dialogue.
        drop(child.channel.send_doors(&refused, &join.doors()));
    }
    state.cgroup_paths = cgroups.paths();
    _step = log::step("wait for the container to be made");
    if cgroups.is_of_user() {
        cgroups.attach("", child.pid.as_raw_nonzero().get())?;
    }
    let clamped = prepare_child(&child, &spec, undo.class.as_ref())?;
    let mut partner =
        Creator { spec: &spec, state: &mut state, folder: &folder, child: &child, bundle: &bundle, clamped };
    let held = Dialogue { child: &child, cgroups: &cgroups, listener: spec.linux.seccomp.as_ref() }
        .hold(&mut partner);
    if let Err(error) = held {
        drop(undo);
        state.run_poststop(&spec);
        return Err(error);
    }
    cgroups.settle();
    if let Some(undone) = &mut undo.cgroups {
        undone.settle();
    }
    _step = log::step("finish");
    log::debug("init: closing the pipe to signal completion");
    connection.write_pid(child.pid.as_raw_nonzero().get())?;
    let container = Container::new(folder, state, cgroups.clone());
    if !creation.waits {
        run_poststart(&container, &spec)?;
    }
    undo.disarm();
    if let Some(listener) = &notify {
        if connection.detach {
            listener.forward(child.pid, child.pid.as_raw_nonzero().get());
        } else {
            listener.forward_meanwhile(child.pid);
        }
    }
    if connection.detach {
        return Ok(0);
    }
    _step = log::step("run");
    let status = foreground.wait(child.pid, terminal)?;
    _step = log::step("delete");
    if !creation.keep
        && let Err(error) = container.destroy()
    {
        log::warn(&crate::error::chain(&error));
    }
    Ok(status)
}

/// Changes into the bundle, so that relative paths in it mean what they should; gives its absolute path.
pub(super) fn enter_bundle(bundle: Option<&Path>) -> Result<PathBuf, LaunchError> {
    if let Some(bundle) = bundle {
        std::env::set_current_dir(bundle).map_err(PathError::at("chdir", bundle))?;
    }
    std::env::current_dir().map_err(LaunchError::call("getcwd"))
}

pub(super) fn open_cgroups(creation: &Creation<'_>, spec: &Spec) -> Result<Manager, LaunchError> {
    let path = Some(Path::new(&spec.linux.cgroups_path));
    let id = creation.id.as_str();
    let manager = if creation.systemd_cgroup {
        let owner = if creation.rootless_cgroups { Owner::User } else { Owner::System };
        Manager::with_systemd(path, id, &spec.annotations, owner)?
    } else {
        Manager::new(path, id)?
    };
    Ok(manager.tolerant(creation.rootless_cgroups))
}

/// Makes the other cgroups, and sets the limits; gives what the container has to do without.
pub(super) fn complete_cgroups(
    cgroups: &mut Manager,
    spec: &Spec,
    undo: &mut Undo,
) -> Result<Vec<u8>, LaunchError> {
    let refused = cgroups.complete(spec.linux.resources.as_ref())?;
    undo.cgroups = Some(cgroups.clone());
    Ok(refused)
}

fn entrance(creation: &Creation<'_>, spec: &Spec) -> Entrance {
    match (spec.has(NamespaceKind::Mount), creation.no_pivot) {
        (false, _) => Entrance::Chroot,
        (true, true) => Entrance::Move,
        (true, false) => Entrance::Pivot,
    }
}

fn keyring(creation: &Creation<'_>, spec: &Spec) -> Result<Option<init::Keyring>, LaunchError> {
    if creation.no_new_keyring {
        return Ok(None);
    }
    // "other" may search it from a user namespace, the user without one.
    let permission = if spec.has(NamespaceKind::User) { 0x8 } else { 0x8_0000 };
    let name = CString::new(format!("_ses.{}", creation.id))
        .map_err(|_| LaunchError::Usage("container id with a nul byte".to_owned()))?;
    Ok(Some(init::Keyring { name, permission: Some(permission) }))
}

/// Opens the namespaces to join, before the process that joins them loses sight of their paths.
fn open_namespaces(spec: &Spec) -> Result<Vec<(NamespaceKind, OwnedFd)>, LaunchError> {
    let mut joined = Vec::new();
    for kind in NamespaceKind::ALL {
        if let Some(namespace) = spec.namespace(kind).filter(|namespace| !namespace.path.is_empty()) {
            let file = rustix::fs::open(&namespace.path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|error| PathError::at("open namespace", &namespace.path)(error.into()))?;
            joined.push((kind, file));
        }
    }
    Ok(joined)
}

/// The fifo on which the container waits. Opened for both directions: it must not end when the runtime does.
fn make_fifo(folder: &Path) -> Result<OwnedFd, LaunchError> {
    let path = folder.join(crate::container::FIFO);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600))
        .map_err(|error| PathError::at("mkfifo", &path)(error.into()))?;
    rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| PathError::at("open", &path)(error.into()).into())
}

/// Namespaces that a process cannot make for itself: it is born in them.
const BORN: NamespaceFlags = NamespaceFlags::PID.with(NamespaceFlags::TIME).with(NamespaceFlags::CGROUP);

fn created(spec: &Spec) -> NamespaceFlags {
    let created = NamespaceKind::ALL.into_iter().filter(|kind| spec.creates(*kind));
    created.fold(NamespaceFlags::default(), |flags, kind| flags.with(kind.flag()))
}

fn start(mut setup: Setup<'_>) -> Result<Child, LaunchError> {
    let spec = setup.spec;
    let flags = created(spec).without(setup.early);
    let mut joined = std::mem::take(&mut setup.joined);
    let mut take = |kind| {
        let place = joined.iter().position(|(joined, _)| *joined == kind)?;
        Some(joined.remove(place).1)
    };
    let (user, pid) = (take(NamespaceKind::User), take(NamespaceKind::Pid));
    // Without privileges of one's own they come from the user namespace: it is joined first then.
    let privileged = rustix::process::geteuid().is_root();
    let before_user = if user.is_some() && privileged { std::mem::take(&mut joined) } else { Vec::new() };
    let plan = Plan {
        before_user,
        namespaces: flags.without(NamespaceFlags::CGROUP).without(NamespaceFlags::TIME),
        user,
        pid,
        time_offsets: spec
            .creates(NamespaceKind::Time)
            .then(|| spec.linux.time_offsets.clone().unwrap_or_default()),
        cgroups: setup.cgroups.birthplace()?.map(Into::into).into_iter().collect(),
        must_join: setup.must_join,
    };
    setup.joined = joined;
    spawn(plan, move |channel| init::run(setup, channel))
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

/// Whether the child waits until the parent has done something for it: its ID maps, or its interfaces, whose sysctls
/// it is about to write.
fn prepares_child(spec: &Spec) -> bool {
    spec.creates(NamespaceKind::User) || !spec.linux.net_devices.is_empty()
}

/// Where the container's network is: what it joins it has not joined yet.
fn network_namespace(child: &Child, spec: &Spec) -> String {
    let joined = spec.namespace(NamespaceKind::Network).filter(|namespace| !namespace.path.is_empty());
    joined
        .map_or_else(|| format!("/proc/{}/ns/net", child.pid.as_raw_nonzero()), |joined| joined.path.clone())
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
    if prepares_child(spec) {
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
    hook::run(spec.hooks.as_ref(), Moment::Poststart, &oci, None).map_err(Into::into)
}

/// What the parent does when the new container's first process asks.
struct Creator<'a> {
    spec: &'a Spec,
    state: &'a mut State,
    folder: &'a Path,
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
        let stat = Stat::of(pid).map_err(LaunchError::call("read the start time of the container"))?;
        self.state.init = Some(Init { pid: pid.as_raw_nonzero().get(), start_time: stat.start_time });
        self.state.created = log::rfc3339(SystemTime::now(), true);
        self.state.save(self.folder).map_err(Into::into)
    }

    fn oci_state(&self, status: Status) -> OciState<'_> {
        let pid = self.child.pid.as_raw_nonzero().get();
        OciState::new(self.state.id.as_str(), status, pid, self.bundle, &self.spec.annotations)
    }
}
