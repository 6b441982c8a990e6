//! One write: from a reference, byte by byte, to a blob.
//!
//! ```text
//! open:    lock the reference | record the ingest | open its file, hash what is there
//! write:   append, hash
//! commit:  compare size and digest | sync the file | rename to its blob, sync the folder | one transaction:
//!          blob visible, ingest gone, lease moved from one to the other
//! drop:    unlock; the ingest stays, and a later writer goes on where this one ended
//! ```

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use dhow_linux::file::PathError;
use dhow_proto::containerd::events::ContentCreate;

use super::{
    Algorithm, BLOBS, Blob, ContentError, Digest, Digester, HOLDERS, INGESTS, Ingest, Lock, Status, Store,
    WriteError,
};
use crate::blocking;
use crate::label::{self, Labels};
use crate::lease::{self, Resource};
use crate::metadata::{Durability, StoreError, Transaction, View};
use crate::namespace::{self, Namespace, Scope};

/// How long an ingest that no lease holds is kept after its last writer opened it.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// Writes longer than this leave the asynchronous threads.
const INLINE: usize = 64 << 10;

/// A write in progress, holding its reference.
#[derive(Debug)]
pub(crate) struct Writer {
    store: Store,
    scope: Scope,
    ingest: Ingest,
    body: Body,
    updated_at: SystemTime,
    _lock: Lock,
}

/// What was written so far.
#[derive(Debug)]
enum Body {
    /// A file of our own.
    Own { file: File, digester: Box<Digester>, offset: i64 },
    /// A link to a blob that another namespace sees: all of it is there.
    Linked { digest: Digest, size: i64 },
    /// Given away by a write or a commit that did not come back.
    Broken,
}

impl Writer {
    pub(super) async fn open(
        store: Store,
        scope: Scope,
        reference: String,
        expected: Option<Digest>,
        total: i64,
    ) -> Result<Self, ContentError> {
        if reference.is_empty() {
            return Err(WriteError::NoReference.into());
        }
        let lock = store.lock(&scope.namespace, &reference)?;
        let algorithm = expected.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let place = scope.clone();
        let wanted = expected.clone();
        // A blob of another namespace stays until we have our link to it.
        let staying = store.0.gate.clone().read_owned().await;
        let begun = store
            .0
            .metadata
            .write(Durability::Process, move |transaction| {
                begin(transaction, &place, &reference, wanted.as_ref(), total)
            })
            .await?;
        let ingest = match (begun, expected) {
            (Some(ingest), _) => ingest,
            (None, Some(digest)) => return Err(ContentError::AlreadyExists(digest)),
            (None, None) => return Err(StoreError::Closed.into()),
        };
        let path = store.ingest_path(&ingest);
        let blob = ingest.linked.parse::<Digest>().ok().map(|digest| (store.path(&digest), digest));
        let body = blocking::run(move || body(&path, blob, algorithm)).await?;
        drop(staying);
        Ok(Self { store, scope, ingest, body, updated_at: SystemTime::now(), _lock: lock })
    }

    /// How many bytes there are.
    pub(crate) fn offset(&self) -> i64 {
        match &self.body {
            Body::Own { offset, .. } => *offset,
            Body::Linked { size, .. } => *size,
            Body::Broken => 0,
        }
    }

    /// The digest of the bytes so far.
    pub(crate) fn digest(&self) -> Digest {
        match &self.body {
            Body::Own { digester, .. } => digester.digest(),
            Body::Linked { digest, .. } => digest.clone(),
            Body::Broken => Digest::of(b""),
        }
    }

    /// The bytes so far, from the first.
    pub(crate) fn reader(&self) -> Result<File, ContentError> {
        let path = self.store.ingest_path(&self.ingest);
        Ok(File::open(&path).map_err(PathError::at("open ingest", &path))?)
    }

    /// How far this write has come.
    pub(crate) fn status(&self) -> Status {
        Status {
            reference: self.ingest.reference.clone(),
            offset: self.offset(),
            total: self.ingest.total,
            expected: self.ingest.linked.clone(),
            started_at: self.ingest.started_at,
            updated_at: Some(self.updated_at.into()),
        }
    }

    /// Appends `data`.
    pub(crate) async fn write(&mut self, data: Bytes) -> Result<(), ContentError> {
        if data.is_empty() {
            return Ok(());
        }
        self.unlink_first().await?;
        if data.len() <= INLINE {
            return self.append(&data);
        }
        let mut own = std::mem::replace(&mut self.body, Body::Broken);
        let (written, own) = blocking::run(move || {
            let written = own.append(&data);
            (written, own)
        })
        .await;
        self.body = own;
        self.updated_at = SystemTime::now();
        Ok(written.map_err(PathError::at("write ingest", self.store.ingest_path(&self.ingest)))?)
    }

    /// Appends `data` on this thread, which may block; not for asynchronous code.
    pub(crate) fn append(&mut self, data: &[u8]) -> Result<(), ContentError> {
        self.updated_at = SystemTime::now();
        let path = self.store.ingest_path(&self.ingest);
        if let Body::Linked { .. } = self.body {
            self.body = resume(&path, Algorithm::Sha256)?;
        }
        Ok(self.body.append(data).map_err(PathError::at("write ingest", path))?)
    }

    /// Forgets what was written.
    pub(crate) async fn restart(&mut self) -> Result<(), ContentError> {
        self.unlink_first().await?;
        let path = self.store.ingest_path(&self.ingest);
        if let Body::Own { file, digester, offset } = &mut self.body {
            file.set_len(0).and_then(|()| file.rewind()).map_err(PathError::at("truncate ingest", path))?;
            **digester = Digester::new(digester.algorithm());
            *offset = 0;
        }
        Ok(())
    }

    /// A linked ingest becomes a file of its own before it changes.
    async fn unlink_first(&mut self) -> Result<(), ContentError> {
        if let Body::Linked { .. } = self.body {
            let path = self.store.ingest_path(&self.ingest);
            self.body = blocking::run(move || resume(&path, Algorithm::Sha256)).await?;
        }
        Ok(())
    }

    /// Ends the write: the bytes become the blob of their digest, visible in the namespace, with `labels`.
    ///
    /// A `size` of 0 and no `expected` digest are not compared. When the namespace sees the blob already, that is
    /// the error, and the ingest is gone.
    pub(crate) async fn commit(
        mut self,
        size: i64,
        expected: Option<&Digest>,
        mut labels: Labels,
    ) -> Result<Blob, ContentError> {
        label::validate(&labels)?;
        labels.retain(|_, value| !value.is_empty());
        let actual_size = self.offset();
        if size > 0 && size != actual_size {
            let reference = self.ingest.reference.clone();
            return Err(WriteError::Size { reference, actual: actual_size, expected: size }.into());
        }
        let digest = self.verify(expected).await?;
        let now = Some(SystemTime::now().into());
        let leased = self.scope.lease.is_some();
        let blob = Blob {
            digest: digest.to_string(),
            size: actual_size,
            created_at: now,
            updated_at: now,
            labels,
            leased,
        };
        let publishing = self.store.0.gate.clone().read_owned().await;
        let (from, to) = (self.store.ingest_path(&self.ingest), self.store.path(&digest));
        let body = std::mem::replace(&mut self.body, Body::Broken);
        blocking::run(move || publish(body, &from, &to)).await?;
        let (place, ingest, new) = (self.scope.clone(), self.ingest.clone(), blob.clone());
        let end = move |transaction: &mut Transaction<'_>| finish(transaction, &place, &ingest, &new);
        let (inner, namespace, new) = (self.store.0.clone(), self.scope.namespace.clone(), blob.clone());
        let tell = move |fresh: &bool| {
            drop(publishing);
            if *fresh {
                let event = ContentCreate { digest: new.digest, size: new.size, ..ContentCreate::default() };
                inner.events.publish(namespace.as_str(), "/content/create", &event);
            }
        };
        match self.store.0.metadata.write_then(Durability::Disk, end, tell).await? {
            true => Ok(blob),
            false => Err(ContentError::AlreadyExists(digest)),
        }
    }

    /// The digest of what was written, once it is what was `expected`; hashes again for another algorithm.
    async fn verify(&mut self, expected: Option<&Digest>) -> Result<Digest, ContentError> {
        let mut actual = self.digest();
        let Some(expected) = expected else { return Ok(actual) };
        if expected.algorithm() != actual.algorithm() {
            let (path, algorithm) = (self.store.ingest_path(&self.ingest), expected.algorithm());
            self.body = blocking::run(move || resume(&path, algorithm)).await?;
            actual = self.digest();
        }
        if actual == *expected {
            Ok(actual)
        } else {
            Err(WriteError::Digest { actual, expected: expected.clone() }.into())
        }
    }
}

impl Body {
    fn append(&mut self, data: &[u8]) -> io::Result<()> {
        let Self::Own { file, digester, offset } = self else {
            return Err(io::Error::other("an earlier write did not come back"));
        };
        file.write_all(data)?;
        digester.update(data);
        *offset += i64::try_from(data.len()).map_err(io::Error::other)?;
        Ok(())
    }
}

/// Records the ingest under `reference`, or finds it; `None` when the namespace sees `expected` already.
fn begin(
    transaction: &mut Transaction<'_>,
    scope: &Scope,
    reference: &str,
    expected: Option<&Digest>,
    total: i64,
) -> Result<Option<Ingest>, ContentError> {
    let namespace = scope.namespace.as_str();
    if let Some(digest) = expected
        && BLOBS.contains(transaction, &[namespace, digest.as_str()])?
    {
        lease::hold(transaction, scope, &Resource::Content(digest.to_string()))?;
        return Ok(None);
    }
    namespace::ensure(transaction, &scope.namespace)?;
    lease::hold(transaction, scope, &Resource::Ingest(reference.to_owned()))?;
    let mut ingest = match INGESTS.get(transaction, &[namespace, reference])? {
        Some(ingest) => ingest,
        None => Ingest {
            reference: reference.to_owned(),
            file: unique_name()?,
            started_at: Some(SystemTime::now().into()),
            linked: shared(transaction, expected, total)?,
            ..Ingest::default()
        },
    };
    if total > 0 {
        ingest.total = total;
    }
    ingest.expires_at = match &scope.lease {
        Some(_) => None,
        None => Some((SystemTime::now() + KEEP).into()),
    };
    INGESTS.put(transaction, &[namespace, reference], &ingest)?;
    Ok(Some(ingest))
}

/// `expected`, when another namespace sees it at the right size.
fn shared(view: &impl View, expected: Option<&Digest>, total: i64) -> Result<String, StoreError> {
    let Some(digest) = expected else { return Ok(String::new()) };
    let mut holder: Option<String> = None;
    HOLDERS.each(view, &[digest.as_str()], |names, ()| {
        holder = names.first().cloned();
        Ok(())
    })?;
    let Some(holder) = holder else { return Ok(String::new()) };
    let blob = BLOBS.get(view, &[&holder, digest.as_str()])?;
    let fits = blob.is_some_and(|blob| total == 0 || total == blob.size);
    Ok(if fits { digest.to_string() } else { String::new() })
}

/// Makes the blob visible in place of the ingest; `false` when it was visible before.
fn finish(
    transaction: &mut Transaction<'_>,
    scope: &Scope,
    ingest: &Ingest,
    blob: &Blob,
) -> Result<bool, ContentError> {
    let namespace: &Namespace = &scope.namespace;
    INGESTS.remove(transaction, &[namespace.as_str(), &ingest.reference])?;
    lease::release(transaction, scope, &Resource::Ingest(ingest.reference.clone()))?;
    lease::hold(transaction, scope, &Resource::Content(blob.digest.clone()))?;
    if BLOBS.contains(transaction, &[namespace.as_str(), &blob.digest])? {
        return Ok(false);
    }
    namespace::ensure(transaction, namespace)?;
    BLOBS.put(transaction, &[namespace.as_str(), &blob.digest], blob)?;
    HOLDERS.put(transaction, &[&blob.digest, namespace.as_str()], &())?;
    Ok(true)
}

/// A file name that nothing has.
pub(super) fn unique_name() -> Result<String, ContentError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| PathError::at("read", "/dev/urandom")(io::Error::other(error)))?;
    Ok(hex::encode(bytes))
}

/// What is at `path`: a link to `blob`, made now if it can be, or a file of our own.
fn body(path: &Path, blob: Option<(PathBuf, Digest)>, algorithm: Algorithm) -> Result<Body, PathError> {
    if let Some((blob, digest)) = blob {
        // It may be there already, or the blob may be gone: what counts is what is there then.
        drop(std::fs::hard_link(&blob, path));
        if let (Ok(blob), Ok(ingest)) = (std::fs::metadata(&blob), std::fs::metadata(path))
            && (blob.dev(), blob.ino()) == (ingest.dev(), ingest.ino())
        {
            let size = i64::try_from(ingest.len()).unwrap_or(i64::MAX);
            return Ok(Body::Linked { digest, size });
        }
    }
    resume(path, algorithm)
}

/// Opens an ingest file at its end, having hashed what is there. A link to a blob is replaced by a copy first.
fn resume(path: &Path, algorithm: Algorithm) -> Result<Body, PathError> {
    if std::fs::metadata(path).is_ok_and(|file| file.nlink() > 1) {
        let copy = path.with_extension("copy");
        std::fs::copy(path, &copy).map_err(PathError::at("copy ingest", path))?;
        std::fs::set_permissions(&copy, Permissions::from_mode(0o600))
            .map_err(PathError::at("chmod", &copy))?;
        std::fs::rename(&copy, path).map_err(PathError::at("rename", &copy))?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let mut file = options.open(path).map_err(PathError::at("open ingest", path))?;
    let mut digester = Box::new(Digester::new(algorithm));
    let mut offset = 0;
    let mut buffer = vec![0; INLINE];
    loop {
        match file.read(&mut buffer).map_err(PathError::at("read ingest", path))? {
            0 => break,
            length => {
                digester.update(&buffer[..length]);
                offset += length as u64;
            }
        }
    }
    Ok(Body::Own { file, digester, offset: i64::try_from(offset).unwrap_or(i64::MAX) })
}

/// Puts the bytes of an ingest where blobs are, durably.
fn publish(body: Body, from: &Path, to: &Path) -> Result<(), PathError> {
    if let Body::Own { file, .. } = &body {
        file.set_permissions(Permissions::from_mode(0o444)).map_err(PathError::at("chmod", from))?;
        if !to.exists() {
            file.sync_all().map_err(PathError::at("sync ingest", from))?;
        }
    }
    drop(body);
    if to.exists() {
        return super::remove(from);
    }
    let folder = to.parent().unwrap_or(to);
    if !folder.exists() {
        std::fs::create_dir_all(folder).map_err(PathError::at("create", folder))?;
    }
    take_name(from, to)?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(PathError::at("sync folder", folder))
}

/// Gives `from` the name `to` alone. Another writer that was linked to the same file may have been first: then
/// rename(2) leaves both names.
pub(super) fn take_name(from: &Path, to: &Path) -> Result<(), PathError> {
    std::fs::rename(from, to).map_err(PathError::at("rename to blob", to))?;
    super::remove(from)
}
