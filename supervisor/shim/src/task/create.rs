//! Create: rootfs, stdio, and the runtime's `create`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dhow_linux::file::{Durability, PathError, read_limited, replace};
use dhow_proto::any;
use dhow_proto::containerd::events::{TaskCreate, TaskIo};
use dhow_proto::containerd::runc::v1::Options;
use dhow_proto::containerd::task::v3::{CreateTaskRequest, CreateTaskResponse};
use prost_types::Any;

use super::container::{Checkpoint, Container};
use super::process::Process;
use super::{Shim, TaskError};
use crate::cgroup::Cgroup;
use crate::console::ConsoleSocket;
use crate::io::{self, Owner, Stdio};
use crate::journal;
use crate::oci_runtime::{Configuration, OciRuntime};
use crate::rootfs;

/// Keeps an id for one call.
struct Reserved<'a> {
    ids: &'a RefCell<BTreeSet<String>>,
    id: String,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.ids.borrow_mut().remove(&self.id);
    }
}

impl Shim {
    /// Makes a container, whose first process then waits to be started.
    pub(crate) async fn create(
        self: &Rc<Self>,
        request: CreateTaskRequest,
    ) -> Result<CreateTaskResponse, TaskError> {
        let _reserved = self.reserve(&request.id)?;
        let options = options(request.options.as_ref())?;
        let bundle = PathBuf::from(&request.bundle);
        let configuration = Configuration::new(&options, &self.namespace, &bundle);
        save(&configuration, &bundle)?;
        let runtime = OciRuntime::new(configuration, &bundle, &self.reactor, &self.reaper);

        let folder = bundle.join("rootfs");
        if !request.rootfs.is_empty() {
            std::fs::create_dir_all(&folder).map_err(PathError::at("create", &folder))?;
        }
        rootfs::mount_all(&request.rootfs, &folder).map_err(TaskError::Mount)?;
        match self.create_init(&request, &options, runtime).await {
            Ok(container) => Ok(self.announce(container, request)),
            Err(error) => {
                if !request.rootfs.is_empty()
                    && let Err(error) = rootfs::unmount_all(&folder)
                {
                    journal::warn("undo create", &error);
                }
                Err(error)
            }
        }
    }

    fn reserve(&self, id: &str) -> Result<Reserved<'_>, TaskError> {
        if self.containers.borrow().contains_key(id) || !self.reserved.borrow_mut().insert(id.to_owned()) {
            return Err(TaskError::Exists(format!("task {id}")));
        }
        Ok(Reserved { ids: &self.reserved, id: id.to_owned() })
    }

    async fn create_init(
        &self,
        request: &CreateTaskRequest,
        options: &Options,
        runtime: OciRuntime,
    ) -> Result<Container, TaskError> {
        let stdio = Stdio {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
        };
        let owner = Owner {
            namespace: self.namespace.clone(),
            container: request.id.clone(),
            uid: options.io_uid,
            gid: options.io_gid,
        };
        let init = Rc::new(Process::new(String::new(), stdio, Vec::new()));
        let bundle = PathBuf::from(&request.bundle);
        let flags: Vec<&'static str> =
            [(options.no_pivot_root, "--no-pivot"), (options.no_new_keyring, "--no-new-keyring")]
                .into_iter()
                .filter_map(|(wanted, flag)| wanted.then_some(flag))
                .collect();
        let identity = (request.id.clone(), bundle.clone(), owner);
        if !request.checkpoint.is_empty() {
            let work = match options.criu_work_path.as_str() {
                "" => bundle.join("work"),
                path => PathBuf::from(path),
            };
            let (image, parent) = (request.checkpoint.clone(), request.parent_checkpoint.clone());
            let checkpoint = Some(Checkpoint { image, parent, work });
            return Ok(Container::new(identity, runtime, init, None, checkpoint, flags));
        }
        let mut args: Vec<OsString> = vec!["create".into(), "--bundle".into(), bundle.clone().into()];
        args.extend(flags.iter().map(Into::into));
        self.launch(&runtime, &init, &identity.2, "OCI runtime create failed", args, &request.id, &bundle)
            .await?;
        let cgroup = Cgroup::of_process(init.pid.get()).map(Rc::new);
        Ok(Container::new(identity, runtime, init, cgroup, None, flags))
    }

    /// Runs a command of the runtime that makes `process`: opens its stdio, learns its pid, takes its terminal.
    #[expect(
        clippy::too_many_arguments,
        reason = "the three commands that make processes differ in all of these"
    )]
    pub(super) async fn launch(
        &self,
        runtime: &OciRuntime,
        process: &Process,
        owner: &Owner,
        action: &'static str,
        mut args: Vec<OsString>,
        id: &str,
        bundle: &Path,
    ) -> Result<(), TaskError> {
        let (io, child) = io::open(&self.reactor, &process.stdio, owner, process.bound.take()).await?;
        let console = match process.stdio.terminal {
            true => Some(ConsoleSocket::bind(&self.reactor, &self.sockets)?),
            false => None,
        };
        if let Some(console) = &console {
            args.extend(["--console-socket".into(), console.path().into()]);
        }
        let pid_file = match process.exec_id.as_str() {
            "" => bundle.join("init.pid"),
            exec_id => bundle.join(format!("{exec_id}.pid")),
        };
        args.extend(["--pid-file".into(), pid_file.clone().into(), id.into()]);

        // Known from now on: a client that has sent all its input closes stdin before the runtime is done.
        process.open_io(&io);
        let _launch = self.reaper.launch();
        let launched = runtime.launch(args, child).await;
        if let Err(source) = launched {
            drop(process.io.take());
            return Err(TaskError::Runtime { action, source });
        }
        io.start_pipes();
        let finished = async {
            let pid = read_pid(&pid_file)?;
            self.reaper.watch(pid);
            process.pid.set(pid);
            if let Some(console) = &console {
                io.start_console(console.receive(&self.reactor).await?)?;
            }
            Ok(())
        };
        if let Err(error) = finished.await {
            drop(process.io.take());
            self.undo_launch(runtime, process, id).await;
            return Err(error);
        }
        Ok(())
    }

    /// Ends a process that was made but cannot be used.
    async fn undo_launch(&self, runtime: &OciRuntime, process: &Process, id: &str) {
        if process.is_init() {
            if let Err(error) = runtime.run(["delete", "--force", id]).await {
                journal::warn("undo create", &error);
            }
        } else if process.pid.get() != 0 {
            let _ = crate::reaper::kill(process.pid.get(), 9);
        }
    }

    fn announce(self: &Rc<Self>, container: Container, request: CreateTaskRequest) -> CreateTaskResponse {
        let container = Rc::new(container);
        let pid = container.init.pid.get();
        self.containers.borrow_mut().insert(request.id.clone(), Rc::clone(&container));
        let event = TaskCreate {
            container_id: request.id,
            bundle: request.bundle,
            rootfs: request.rootfs,
            io: Some(TaskIo {
                stdin: request.stdin,
                stdout: request.stdout,
                stderr: request.stderr,
                terminal: request.terminal,
            }),
            checkpoint: request.checkpoint,
            pid,
        };
        self.publisher.publish("/tasks/create", &event);
        if pid != 0 {
            self.follow(&container, &container.init);
        }
        CreateTaskResponse { pid }
    }
}

fn options(options: Option<&Any>) -> Result<Options, TaskError> {
    match options {
        None => Ok(Options::default()),
        Some(options) if options.type_url.is_empty() && options.value.is_empty() => Ok(Options::default()),
        Some(options) => match dhow_proto::runc::options(options) {
            Some(decoded) => decoded.map_err(TaskError::Decode),
            None => Err(TaskError::Invalid(format!("runtime options of type {}", any::name(options)))),
        },
    }
}

fn save(configuration: &Configuration, bundle: &Path) -> Result<(), PathError> {
    let path = bundle.join("runtime.json");
    let json =
        serde_json::to_vec(configuration).map_err(|error| PathError::at("encode", &path)(error.into()))?;
    replace(&path, &json, 0o600, Durability::Process)
}

fn read_pid(path: &Path) -> Result<u32, PathError> {
    let text = read_limited(path, 32)?;
    let pid = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
    pid.ok_or_else(|| PathError::at("read pid from", path)(std::io::ErrorKind::InvalidData.into()))
}
