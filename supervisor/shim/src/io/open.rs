//! Opening the stdio that a request asks for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio as ChildStream;
use std::rc::Rc;

use dhow_linux::file::PathError;
use rustix::fs::{Gid, Uid};
use rustix::pipe::{PipeFlags, pipe_with};

use super::log::{LogFile, LogStream};
use super::pump::Output;
use super::stdin::{Feed, Stdin};
use super::uri::{LogOptions, Target};
use super::{Copying, Hub, Io, IoError, PIPE_SIZE, Stdio, Stream, fifo, logger};
use crate::reactor::{Reactor, Watched};

/// Whose stdio it is.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) namespace: String,
    pub(crate) container: String,
    /// Who shall own the pipes (`IoUid`, `IoGid`).
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The three streams that the runtime's command inherits, and through it the process.
#[derive(Debug)]
pub(crate) struct ChildStdio {
    pub(crate) stdin: ChildStream,
    pub(crate) stdout: ChildStream,
    pub(crate) stderr: ChildStream,
}

/// Makes the attach sockets that `stdio` names: clients may connect before the process, and so its stdio, is there.
pub(crate) fn bind(reactor: &Reactor, stdio: &Stdio) -> Result<Vec<Rc<Hub>>, IoError> {
    let mut hubs = BTreeMap::new();
    for uri in [&stdio.stdin, &stdio.stdout, &stdio.stderr] {
        if let Target::Attach { socket, .. } = Target::parse(uri)?
            && !hubs.contains_key(&socket)
        {
            let hub = Rc::new(Hub::bind(reactor, &socket, stdio.terminal)?);
            hubs.insert(socket, hub);
        }
    }
    Ok(hubs.into_values().collect())
}

/// Opens everything that `stdio` names. Copying waits for [`Io::start_pipes`] or, with a terminal, for
/// [`Io::start_console`]; the child of a terminal inherits nothing. Sockets in `bound` are taken over.
pub(crate) async fn open(
    reactor: &Reactor,
    stdio: &Stdio,
    owner: &Owner,
    bound: Vec<Rc<Hub>>,
) -> Result<(Rc<Io>, ChildStdio), IoError> {
    let mut opening = Opening::new(reactor, owner, stdio.terminal);
    opening.hubs.extend(bound.into_iter().map(|hub| (hub.path().to_owned(), hub)));
    let mut child =
        ChildStdio { stdin: ChildStream::null(), stdout: ChildStream::null(), stderr: ChildStream::null() };
    let mut pipes = Vec::new();
    let mut waiting = None;

    let stdin = opening.stdin(&stdio.stdin, &mut child).await?;
    if stdio.terminal {
        waiting = Some(opening.output(&stdio.stdout, Stream::Stdout).await?);
    } else {
        for (uri, stream) in [(&stdio.stdout, Stream::Stdout), (&stdio.stderr, Stream::Stderr)] {
            let output = opening.output(uri, stream).await?;
            let inherited = match output {
                Output::Discard => ChildStream::null(),
                Output::Inherited(fd) => fd.into(),
                output => {
                    let (source, write_end) = opening.pipe_from_child()?;
                    pipes.push((source, output));
                    write_end.into()
                }
            };
            match stream {
                Stream::Stdout => child.stdout = inherited,
                Stream::Stderr => child.stderr = inherited,
            }
        }
    }
    for hub in opening.hubs.values() {
        hub.serve(reactor, stdin.clone().filter(|_| Some(hub.path()) == opening.stdin_socket.as_deref()));
    }
    let io = Io {
        reactor: reactor.clone(),
        stdin,
        stdin_fifo: RefCell::new(opening.stdin_fifo),
        waiting: RefCell::new(waiting),
        console: RefCell::default(),
        hubs: opening.hubs.into_values().collect(),
        pipes: RefCell::new(pipes),
        copying: Rc::new(Copying::default()),
    };
    Ok((Rc::new(io), child))
}

/// What was opened so far; streams that name the same log or socket share it.
struct Opening<'a> {
    reactor: &'a Reactor,
    owner: &'a Owner,
    terminal: bool,
    hubs: BTreeMap<PathBuf, Rc<Hub>>,
    logs: BTreeMap<PathBuf, Rc<RefCell<LogFile>>>,
    logger: Option<logger::Inputs>,
    stdin_socket: Option<PathBuf>,
    stdin_fifo: Option<PathBuf>,
}

impl<'a> Opening<'a> {
    fn new(reactor: &'a Reactor, owner: &'a Owner, terminal: bool) -> Self {
        Self {
            reactor,
            owner,
            terminal,
            hubs: BTreeMap::new(),
            logs: BTreeMap::new(),
            logger: None,
            stdin_socket: None,
            stdin_fifo: None,
        }
    }

    async fn output(&mut self, uri: &str, stream: Stream) -> Result<Output, IoError> {
        Ok(match Target::parse(uri)? {
            Target::Null => Output::Discard,
            Target::Fifo(path) if is_fifo(&path) => {
                let (sink, keeper) = fifo::open_write(self.reactor, &path).await?;
                Output::Fifo { sink, _keeper: keeper }
            }
            Target::Fifo(path) => Output::File(append(&path, false)?),
            Target::File(path) => Output::File(append(&path, true)?),
            Target::Binary(program) => {
                if self.logger.is_none() {
                    self.logger = Some(logger::start(self.reactor, &program, self.owner).await?);
                }
                let input = self.logger.as_mut().and_then(|inputs| inputs.take(stream));
                match input {
                    Some(input) if self.terminal => Output::fifo(self.reactor, input)?,
                    Some(input) => Output::Inherited(input),
                    None => Output::Discard,
                }
            }
            Target::JsonFile { log, attach } => {
                let log = LogStream::new(self.log(log)?, stream);
                let hub = attach.map(|socket| self.hub(&socket)).transpose()?;
                Output::Log { log, hub: hub.map(|hub| (hub, stream)) }
            }
            Target::Attach { socket, .. } => Output::Attach(self.hub(&socket)?, stream),
        })
    }

    async fn stdin(&mut self, uri: &str, child: &mut ChildStdio) -> Result<Option<Rc<Stdin>>, IoError> {
        let stdin = match Target::parse(uri)? {
            Target::Null => return Ok(None),
            Target::Fifo(path) => {
                self.stdin_fifo = Some(path);
                Rc::new(Stdin::new(Feed::Fifo))
            }
            Target::Attach { socket, once } => {
                self.hub(&socket)?;
                self.stdin_socket = Some(socket);
                Rc::new(Stdin::new(Feed::Clients { once }))
            }
            _ => return Err(IoError::Stdin(uri.to_owned())),
        };
        if !self.terminal {
            let (read_end, write_end) = self.pipe()?;
            rustix::io::ioctl_fionbio(&write_end, true).map_err(IoError::Pipe)?;
            stdin.connect(Rc::new(Watched::new(self.reactor, write_end).map_err(IoError::Pipe)?));
            child.stdin = read_end.into();
        }
        Ok(Some(stdin))
    }

    fn hub(&mut self, socket: &Path) -> Result<Rc<Hub>, IoError> {
        if let Some(hub) = self.hubs.get(socket) {
            return Ok(Rc::clone(hub));
        }
        let hub = Rc::new(Hub::bind(self.reactor, socket, self.terminal)?);
        self.hubs.insert(socket.to_owned(), Rc::clone(&hub));
        Ok(hub)
    }

    fn log(&mut self, options: LogOptions) -> Result<Rc<RefCell<LogFile>>, IoError> {
        if let Some(log) = self.logs.get(&options.path) {
            return Ok(Rc::clone(log));
        }
        let path = options.path.clone();
        let log = Rc::new(RefCell::new(LogFile::open(options)?));
        self.logs.insert(path, Rc::clone(&log));
        Ok(log)
    }

    fn pipe(&self) -> Result<(OwnedFd, OwnedFd), IoError> {
        let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).map_err(IoError::Pipe)?;
        if (self.owner.uid, self.owner.gid) != (0, 0) {
            for end in [&read_end, &write_end] {
                let (uid, gid) = (Uid::from_raw(self.owner.uid), Gid::from_raw(self.owner.gid));
                rustix::fs::fchown(end, Some(uid), Some(gid)).map_err(IoError::Pipe)?;
            }
        }
        Ok((read_end, write_end))
    }

    fn pipe_from_child(&self) -> Result<(Watched<OwnedFd>, OwnedFd), IoError> {
        let (read_end, write_end) = self.pipe()?;
        // Not granted to everyone; the smaller pipe works too.
        let _ = rustix::pipe::fcntl_setpipe_size(&read_end, PIPE_SIZE);
        rustix::io::ioctl_fionbio(&read_end, true).map_err(IoError::Pipe)?;
        Ok((Watched::new(self.reactor, read_end).map_err(IoError::Pipe)?, write_end))
    }
}

fn is_fifo(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn append(path: &Path, create: bool) -> Result<File, PathError> {
    if let Some(folder) = path.parent().filter(|_| create) {
        std::fs::create_dir_all(folder).map_err(PathError::at("create folder", folder))?;
    }
    File::options().append(true).create(create).mode(0o644).open(path).map_err(PathError::at("open", path))
}
