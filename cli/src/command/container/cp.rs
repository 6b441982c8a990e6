//! `cp`: copy files between a container and here.

use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dhow_engine_api::container::PathStat;
use http::Method;
use tokio::sync::mpsc;

use crate::client::{Body, Call, Client, ClientError, Query, Reply};
use crate::command::{Verb, archive, download, upload};
use crate::error::Failure;
use crate::option::volume::clean;
use crate::session::Session;

use super::path;

/// Copy files between a container and here.
#[derive(Debug, clap::Args)]
pub(crate) struct Cp {
    /// Keep owners and groups
    #[arg(short, long)]
    archive: bool,
    /// Copy what a link in the source points to
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Show no progress (there is none to show)
    #[arg(short, long)]
    quiet: bool,
    source: String,
    target: String,
}

/// Bits of a Go file mode: a directory, a link.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_LINK: u32 = 1 << 27;

impl Verb for Cp {
    const USAGE: &'static str = "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-
	{program} cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH";
    const ABOUT: &'static str = "Copy files/folders between a container and the local filesystem";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        match (place(&self.source), place(&self.target)) {
            (Some(_), Some(_)) => Err("copying between containers is not supported".into()),
            (None, None) => Err("must specify at least one container source".into()),
            (Some((container, file)), None) => self.fetch(client, container, file).await,
            (None, Some((container, file))) => self.send(client, container, file).await,
        }
    }
}

/// The container and the path in `CONTAINER:PATH`; none when it is a path here.
fn place(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['/', '.']) {
        return None;
    }
    text.split_once(':').filter(|(container, _)| !container.is_empty())
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().filter(|base| !base.is_empty()).unwrap_or("/")
}

/// Whether a path ends so that it can only be a directory.
fn names_directory(path: &str) -> bool {
    path.ends_with('/') || names_contents(path)
}

/// Whether a path means what is in a directory, not the directory.
fn names_contents(path: &str) -> bool {
    path == "." || path.ends_with("/.")
}

fn query(path: &str) -> Query {
    Query::new().set("path", path)
}

fn stat_of(reply: &Reply) -> Option<PathStat> {
    let bytes = STANDARD.decode(reply.header("x-docker-container-path-stat")?).ok()?;
    dhow_engine_api::decode::from_slice(&bytes).ok()
}

async fn stat(client: &Client, container: &str, file: &str) -> Result<Option<PathStat>, ClientError> {
    let call = Call::new(Method::HEAD, path(container, "archive")).query(query(file));
    let reply = client.send(call).await?;
    let stat = stat_of(&reply);
    reply.discard().await;
    Ok(stat)
}

/// Where a link found in a container leads.
fn linked(file: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    let parent = Path::new(file).parent().unwrap_or_else(|| Path::new("/"));
    clean(&parent.join(target))
}

impl Cp {
    /// From the container.
    async fn fetch(&self, client: &Client, container: &str, file: &str) -> Result<(), Failure> {
        let mut file = file.to_owned();
        if self.follow_link
            && let Ok(Some(found)) = stat(client, container, &file).await
            && found.mode & GO_LINK != 0
        {
            file = linked(&file, &found.link_target);
        }
        let reply = client.send(Call::get(path(container, "archive")).query(query(&file))).await?;
        if self.target == "-" {
            return download::Target::new("")?.save(reply).await;
        }
        let directory = stat_of(&reply).is_some_and(|found| found.mode & GO_DIRECTORY != 0);
        let plan = plan_here(&self.target, directory, names_contents(&file))?;
        let keep = self.archive;
        let target = self.target.clone();
        let (sender, receiver) = mpsc::channel::<Bytes>(4);
        let work = tokio::task::spawn_blocking(move || match plan {
            Here::Into(into) => archive::unpack(Chunks::new(receiver), &into, keep),
            Here::As(name) => archive::unpack_as(Chunks::new(receiver), &name, keep),
        });
        let mut reply = reply;
        while let Some(chunk) = reply.chunk().await? {
            // An unpacking that failed tells why below.
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
        drop(sender);
        let done = work.await.map_err(|error| Failure::new(error.to_string()))?;
        done.map_err(|error| Failure::new(format!("unpack to {target}: {}", deepest(&error))))
    }

    /// To the container.
    async fn send(&self, client: &Client, container: &str, file: &str) -> Result<(), Failure> {
        let mut file = if file.starts_with('/') { file.to_owned() } else { format!("/{file}") };
        let mut found = match stat(client, container, &file).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(link) = found.as_ref().filter(|found| found.mode & GO_LINK != 0) {
            let real = linked(&file, &link.link_target);
            // What the link points to may be missing: then it is made there.
            found = stat(client, container, &real).await.ok().flatten();
            file = real;
        }
        let there = found.map(|found| found.mode & GO_DIRECTORY != 0);
        let (into, body): (String, Body) = if self.source == "-" {
            if there == Some(false) {
                return Err(format!("destination \"{container}:{file}\" must be a directory").into());
            }
            (file, upload::stdin())
        } else {
            self.pack(&file, there)?
        };
        let query = query(&into)
            .set("noOverwriteDirNonDir", "true")
            .text("copyUIDGID", if self.archive { "true" } else { "" });
        let call =
            Call::new(Method::PUT, path(container, "archive")).query(query).body(body, "application/x-tar");
        client.done(call).await.map_err(Failure::from).map_err(|failure| {
            if failure.is_not_found() && failure.message().contains("Could not find the file") {
                return failure.hint("the directory that it goes to must exist in the container");
            }
            failure
        })
    }

    /// The directory in the container, and the archive that is unpacked there. `there` says what is
    /// at `file` now: nothing, a directory (true), something else (false).
    fn pack(&self, file: &str, there: Option<bool>) -> Result<(String, Body), Failure> {
        let source = Path::new(&self.source);
        let failed = |error: &std::io::Error| Failure::io(format!("lstat {}", self.source), error);
        let found = std::fs::symlink_metadata(source).map_err(|error| failed(&error))?;
        let directory = found.is_dir()
            || names_directory(&self.source) && std::fs::metadata(source).is_ok_and(|found| found.is_dir());
        let real = if self.follow_link || directory && !found.is_dir() {
            std::fs::canonicalize(source).map_err(|error| failed(&error))?
        } else {
            source.to_path_buf()
        };
        let directory = directory || real.is_dir() && self.follow_link;
        let (parent, name) = (parent_of(file), base(file).to_owned());
        let own_name = real_name(&self.source)?;
        let (into, name) = match (directory, there) {
            (true, Some(true)) if names_contents(&self.source) => (file.to_owned(), ".".to_owned()),
            (_, Some(true)) => (file.to_owned(), own_name),
            (true, Some(false)) => return Err("cannot copy directory".into()),
            (false, Some(false)) | (true, None) => (parent, name),
            (false, None) if names_directory(file) => {
                return Err(format!("no such directory: {file}").into());
            }
            (false, None) => (parent, name),
        };
        let body = upload::produce(move |sink| {
            let mut builder = tar::Builder::new(archive::SinkWriter(sink));
            archive::add(&mut builder, &real, Path::new(&name), &archive::Choice::ALL)?;
            builder.into_inner().map(drop)
        });
        Ok((into, body))
    }
}

fn parent_of(file: &str) -> String {
    let parent = Path::new(file.trim_end_matches('/')).parent().unwrap_or_else(|| Path::new("/"));
    clean(parent)
}

/// The name that a path here has, dots resolved.
fn real_name(source: &str) -> Result<String, Failure> {
    let whole = crate::option::volume::absolute(source)
        .map_err(|error| Failure::io(format!("find {source}"), &error))?;
    Ok(base(&whole).to_owned())
}

/// Where an archive from a container goes.
enum Here {
    /// Into this directory.
    Into(PathBuf),
    /// Its one thing becomes this.
    As(PathBuf),
}

/// Decides by what is at `target` now, as `cp -r` would.
fn plan_here(target: &str, source_is_directory: bool, contents: bool) -> Result<Here, Failure> {
    let path = PathBuf::from(target);
    match (std::fs::metadata(&path), source_is_directory) {
        (Ok(found), true) if !found.is_dir() => Err("cannot copy directory".into()),
        (Ok(found), _) if found.is_dir() => Ok(Here::Into(path)),
        (Ok(_), _) => Ok(Here::As(path)),
        (Err(_), true) if contents => {
            std::fs::create_dir(&path).map_err(|error| Failure::io(format!("mkdir {target}"), &error))?;
            Ok(Here::Into(path))
        }
        (Err(_), false) if names_directory(target) => {
            Err(format!("invalid output path: directory \"{target}\" does not exist").into())
        }
        (Err(_), _) => {
            let path = PathBuf::from(target.trim_end_matches('/'));
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            if parent.is_some_and(|parent| !parent.is_dir()) {
                let parent = parent.unwrap_or(&path).display();
                return Err(format!("invalid output path: directory \"{parent}\" does not exist").into());
            }
            Ok(Here::As(path))
        }
    }
}

/// What an error of the tar library is really about.
fn deepest(error: &std::io::Error) -> String {
    crate::client::chain(error)
}

/// Reads what comes through a channel.
struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Chunks {
    fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self { receiver, rest: Bytes::new() }
    }
}

impl Read for Chunks {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.rest.is_empty() {
            match self.receiver.blocking_recv() {
                Some(bytes) => self.rest = bytes,
                None => return Ok(0),
            }
        }
        let read = self.rest.len().min(buf.len());
        buf[..read].copy_from_slice(&self.rest.split_to(read));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::{base, linked, place};

    #[test]
    fn places() {
        assert_eq!(place("web:/etc"), Some(("web", "/etc")));
        assert_eq!(place("./a:b"), None);
        assert_eq!(place("/a:b"), None);
        assert_eq!(place("-"), None);
        assert_eq!((base("/a/b/"), base("/")), ("b", "/"));
        assert_eq!(linked("/a/b", "../c"), "/c");
    }
}
