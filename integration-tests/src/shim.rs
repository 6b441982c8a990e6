//! Our shim by itself: started as a supervisor would, spoken to over ttrpc, its events collected.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use dhow_proto::containerd::services::events::ttrpc::v1::ForwardRequest;
use dhow_proto::containerd::task::v3::{
    CreateTaskRequest, CreateTaskResponse, DeleteRequest, DeleteResponse, KillRequest, ShutdownRequest,
    StartRequest, StartResponse, StateRequest, StateResponse, WaitRequest, WaitResponse,
};
use dhow_proto::containerd::types::Envelope;
use dhow_proto::ttrpc::{self, CallError, Decoder, Frame, FrameKind, Incoming};
use dhow_proto::{any, containerd::runc::v1::Options};
use prost::Message;
use prost_types::Any;

use crate::binaries;
use crate::bundle::Bundle;
use crate::host::Host;
use crate::process::{Done, eventually, run_with};

/// The namespace that every shim here works in.
pub const NAMESPACE: &str = "tests";

/// The Task service that [`Shim::call`] speaks by default.
pub const TASK: &str = "containerd.task.v3.Task";

/// Stands where a supervisor would: takes events, starts shims, cleans up after dead ones.
#[derive(Debug)]
pub struct Shims {
    host: Host,
    events: Arc<Mutex<Vec<Envelope>>>,
}

/// A connection to a shim.
#[derive(Debug)]
pub struct Shim {
    address: PathBuf,
    runtime_root: String,
}

impl Shims {
    /// Listens for events on a private host.
    ///
    /// # Panics
    /// When the socket cannot be made.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        let shims = Self { host: Host::new(), events: Arc::default() };
        let listener = UnixListener::bind(shims.host.path("s.sock.ttrpc")).expect("listen for events");
        let events = Arc::clone(&shims.events);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let events = Arc::clone(&events);
                std::thread::spawn(move || collect(stream, &events));
            }
        });
        shims
    }

    /// Where they work.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// A bundle whose container runs `script`.
    #[must_use]
    pub fn bundle(&self, id: &str, script: &str) -> Bundle {
        Bundle::new(&self.host, id, script)
    }

    /// Runs an action of the shim's binary in a bundle.
    #[track_caller]
    pub fn action(
        &self,
        folder: &Path,
        id: &str,
        arguments: &[&str],
        input: &[u8],
        version: Option<&str>,
    ) -> Done {
        run_with(&mut self.command(folder, id, arguments, version), input)
    }

    /// Runs an action that prints a message.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    #[track_caller]
    pub fn action_bytes(&self, folder: &Path, id: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = self.command(folder, id, arguments, None);
        let output = self.host.path("printed");
        command.stdin(Stdio::piped()).stdout(fs::File::create(&output).expect("make a file"));
        let mut child = command.spawn().expect("start the shim");
        child.stdin.take().expect("piped").write_all(input).expect("pass the input");
        assert!(child.wait().expect("wait for it").success(), "{arguments:?}");
        fs::read(output).expect("what it printed")
    }

    /// An action of the shim's binary in a bundle, not started.
    #[must_use]
    pub fn command(&self, folder: &Path, id: &str, arguments: &[&str], version: Option<&str>) -> Command {
        let mut command = Command::new(binaries::path("containerd-shim-dhow-v2"));
        command
            .args(["-namespace", NAMESPACE, "-id", id, "-address"])
            .arg(self.host.path("s.sock"))
            .args(arguments)
            .current_dir(folder)
            .env("TTRPC_ADDRESS", self.host.path("s.sock.ttrpc"))
            .env_remove("MAX_SHIM_VERSION")
            .envs(version.map(|version| ("MAX_SHIM_VERSION", version)));
        command
    }

    /// Starts the shim of a bundle, or finds the one of its group.
    #[must_use]
    #[track_caller]
    pub fn start(&self, id: &str, bundle: &Bundle) -> Shim {
        self.start_with(id, bundle, &Options::default())
    }

    /// Starts a shim with runtime options; the runtime keeps its state on this host unless they say where.
    ///
    /// # Panics
    /// When it says no address.
    #[must_use]
    #[track_caller]
    pub fn start_with(&self, id: &str, bundle: &Bundle, options: &Options) -> Shim {
        let runtime_root = self.host.path("runtime").display().to_string();
        let input = any::pack(&rooted(options, &runtime_root)).encode_to_vec();
        let address = self.action(bundle.folder(), id, &["start"], &input, None).ok();
        Shim { address: address.strip_prefix("unix://").expect("an address").into(), runtime_root }
    }

    /// The events so far: topic and message.
    #[must_use]
    pub fn events(&self) -> Vec<(String, Any)> {
        let events = self.events.lock().expect("not poisoned");
        events.iter().map(|event| (event.topic.clone(), event.event.clone().unwrap_or_default())).collect()
    }

    /// The topics of the events so far, in order.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.events().into_iter().map(|event| event.0).collect()
    }

    /// Waits for an event of `topic`.
    #[track_caller]
    pub fn wait_for(&self, topic: &str) {
        eventually(topic, || self.topics().iter().any(|seen| seen == topic));
    }
}

/// The options, with a place for the runtime's state if they name none.
fn rooted(options: &Options, root: &str) -> Options {
    let own = if options.root.is_empty() { root } else { &options.root };
    Options { root: own.to_owned(), ..options.clone() }
}

impl Default for Shims {
    fn default() -> Self {
        Self::new()
    }
}

impl Shim {
    /// The path of its socket.
    #[must_use]
    pub fn address(&self) -> &Path {
        &self.address
    }

    /// Calls a method of a service.
    ///
    /// # Errors
    /// The shim's refusal.
    ///
    /// # Panics
    /// When the shim does not answer.
    #[track_caller]
    pub fn call_service<R: Message + Default>(
        &self,
        service: &str,
        method: &str,
        request: &impl Message,
    ) -> Result<R, CallError> {
        let mut stream = UnixStream::connect(&self.address).expect("the shim listens");
        let mut bytes = Vec::new();
        ttrpc::call(&mut bytes, 1, (service, method), NAMESPACE, None, request).expect("a short request");
        stream.write_all(&bytes).expect("send the request");
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(Incoming::Frame(Frame { payload, .. })) = decoder.decode().expect("a frame") {
                return ttrpc::result(payload).map(|reply| R::decode(reply.as_slice()).expect("a reply"));
            }
            let read = stream.read(&mut buffer).expect("read the reply");
            assert!(read > 0, "the shim hung up during {method}");
            decoder.feed(&buffer[..read]);
        }
    }

    /// Calls a method of the Task service.
    ///
    /// # Errors
    /// The shim's refusal.
    #[track_caller]
    pub fn call<R: Message + Default>(&self, method: &str, request: &impl Message) -> Result<R, CallError> {
        self.call_service(TASK, method, request)
    }

    /// Creates the container of a bundle; its pid.
    ///
    /// # Panics
    /// When the shim refuses.
    #[track_caller]
    pub fn create(&self, id: &str, bundle: &Bundle) -> u32 {
        self.create_with(id, bundle, &Options::default()).expect("create").pid
    }

    /// Creates the container of a bundle with runtime options.
    ///
    /// # Errors
    /// The shim's refusal.
    #[track_caller]
    pub fn create_with(
        &self,
        id: &str,
        bundle: &Bundle,
        options: &Options,
    ) -> Result<CreateTaskResponse, CallError> {
        let request = CreateTaskRequest {
            id: id.to_owned(),
            bundle: bundle.folder().display().to_string(),
            stdout: format!("file://{}", bundle.folder().join("stdout").display()),
            options: Some(any::pack(&rooted(options, &self.runtime_root))),
            ..CreateTaskRequest::default()
        };
        self.call("Create", &request)
    }

    /// What the container wrote to its stdout.
    #[must_use]
    pub fn output(bundle: &Bundle) -> String {
        fs::read_to_string(bundle.folder().join("stdout")).unwrap_or_default()
    }

    /// Starts a process; its pid.
    ///
    /// # Panics
    /// When the shim refuses.
    #[track_caller]
    pub fn start(&self, id: &str, exec_id: &str) -> u32 {
        let request = StartRequest { id: id.to_owned(), exec_id: exec_id.to_owned() };
        self.call::<StartResponse>("Start", &request).expect("start").pid
    }

    /// The status of a process.
    ///
    /// # Errors
    /// The shim's refusal.
    #[track_caller]
    pub fn state(&self, id: &str, exec_id: &str) -> Result<StateResponse, CallError> {
        self.call("State", &StateRequest { id: id.to_owned(), exec_id: exec_id.to_owned() })
    }

    /// Waits for the end of a process; its exit status.
    ///
    /// # Panics
    /// When the shim refuses.
    #[track_caller]
    pub fn wait(&self, id: &str, exec_id: &str) -> u32 {
        let request = WaitRequest { id: id.to_owned(), exec_id: exec_id.to_owned() };
        self.call::<WaitResponse>("Wait", &request).expect("wait").exit_status
    }

    /// Kills the container.
    ///
    /// # Errors
    /// The shim's refusal.
    #[track_caller]
    pub fn kill(&self, id: &str, signal: u32) -> Result<(), CallError> {
        let request = KillRequest { id: id.to_owned(), signal, ..KillRequest::default() };
        self.call::<()>("Kill", &request)
    }

    /// Deletes a process.
    ///
    /// # Errors
    /// The shim's refusal.
    #[track_caller]
    pub fn delete(&self, id: &str, exec_id: &str) -> Result<DeleteResponse, CallError> {
        self.call("Delete", &DeleteRequest { id: id.to_owned(), exec_id: exec_id.to_owned() })
    }

    /// Asks the shim to end, and waits until it did.
    ///
    /// # Panics
    /// When the shim refuses.
    #[track_caller]
    pub fn shut_down(&self, id: &str) {
        let request = ShutdownRequest { id: id.to_owned(), now: false };
        self.call::<()>("Shutdown", &request).expect("shutdown");
        eventually("the shim is gone", || !self.is_there());
    }

    /// Whether somebody listens at its address.
    #[must_use]
    pub fn is_there(&self) -> bool {
        UnixStream::connect(&self.address).is_ok()
    }

    /// Kills, deletes and ends: for tests whose subject is over.
    #[track_caller]
    pub fn finish(&self, id: &str) {
        drop(self.kill(id, 9));
        self.wait(id, "");
        self.delete(id, "").expect("delete");
        self.shut_down(id);
    }
}

/// Serves one connection of an events service.
fn collect(mut stream: UnixStream, events: &Mutex<Vec<Envelope>>) {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        decoder.feed(&buffer[..read]);
        let mut output = Vec::new();
        while let Ok(Some(incoming)) = decoder.decode() {
            let Incoming::Frame(Frame { kind: FrameKind::Request, stream, payload, .. }) = incoming else {
                continue;
            };
            let request = ttrpc::Request::decode(payload).expect("a request");
            let forward = ForwardRequest::decode(request.payload.as_slice()).expect("an event");
            events.lock().expect("not poisoned").extend(forward.envelope);
            ttrpc::reply(&mut output, stream, Vec::new());
        }
        if stream.write_all(&output).is_err() {
            return;
        }
    }
}
