//! Records against files: what is damaged, what a crash left over, and how the records become true again.
//!
//! Owns: the comparison, and the changes to records that follow from it. Does not own: deleting files; the next start
//! of the supervisor does that for whatever no record names.

mod finding;
mod mend;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
pub(crate) use finding::Finding;
pub(crate) use mend::mend;

use crate::content::{BLOBS, Digest, Digester, HOLDERS};
use crate::lease::{LEASED, LEASES};
use crate::metadata::{StoreError, View};
use crate::snapshot::{CHILDREN, Kind, Record, SNAPSHOTS};

/// Why the check did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    File(#[from] PathError),
}

/// Compares the records in `view` with the files below `root`.
pub(crate) fn check(root: &Path, view: &impl View) -> Result<Vec<Finding>, CheckError> {
    let mut findings = Vec::new();
    blobs(root, view, &mut findings)?;
    snapshots(root, view, &mut findings)?;
    indexes(view, &mut findings)?;
    Ok(findings)
}

/// Every blob with a record must be there and have its digest; every other blob is left over.
fn blobs(root: &Path, view: &impl View, findings: &mut Vec<Finding>) -> Result<(), CheckError> {
    let folder = root.join("io.containerd.content.v1.content/blobs");
    let mut known: HashMap<String, bool> = HashMap::new();
    let mut records = Vec::new();
    BLOBS.each(view, &[], |names, blob| {
        if let [namespace, digest] = names {
            records.push((namespace.clone(), digest.clone(), blob.size));
        }
        Ok(())
    })?;
    for (namespace, digest, size) in records {
        let good = match known.get(&digest) {
            Some(good) => *good,
            None => {
                let good = matches(&folder, &digest, size)?;
                known.insert(digest.clone(), good);
                good
            }
        };
        if !good {
            findings.push(Finding::Blob { namespace, digest });
        }
    }
    for algorithm in list(&folder)? {
        for hex in list(&folder.join(&algorithm))? {
            let digest = format!("{algorithm}:{hex}");
            if !known.contains_key(&digest)
                && let Some(size) = size(&folder, &digest)?
                && matches(&folder, &digest, size)?
            {
                findings.push(Finding::UnknownBlob { digest, size });
            }
        }
    }
    Ok(())
}

fn path(folder: &Path, digest: &str) -> Option<(PathBuf, Digest)> {
    let digest: Digest = digest.parse().ok()?;
    Some((folder.join(digest.algorithm().name()).join(digest.hex()), digest))
}

fn size(folder: &Path, digest: &str) -> Result<Option<i64>, PathError> {
    let Some((path, _)) = path(folder, digest) else { return Ok(None) };
    let length = std::fs::metadata(&path).map_err(PathError::at("stat", &path))?.len();
    Ok(i64::try_from(length).ok())
}

/// Whether the blob named `digest` has this size and these bytes.
fn matches(folder: &Path, digest: &str, size: i64) -> Result<bool, PathError> {
    let Some((path, digest)) = path(folder, digest) else { return Ok(false) };
    let mut file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(PathError::at("open", path)(error)),
    };
    let mut digester = Digester::new(digest.algorithm());
    let (mut buffer, mut length) = (vec![0; 1 << 20], 0i64);
    loop {
        // A block that the disk cannot give is damage, not the end of the check.
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                digester.update(&buffer[..count]);
                length = length.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
            }
            Err(_) => return Ok(false),
        }
    }
    Ok(length == size && digester.digest() == digest)
}

/// Every snapshot must have its directory and a committed parent; every other directory is left over.
fn snapshots(root: &Path, view: &impl View, findings: &mut Vec<Finding>) -> Result<(), CheckError> {
    let mut records: Vec<(String, String, Record)> = Vec::new();
    SNAPSHOTS.each(view, &[], |names, record| {
        if let [namespace, snapshotter, _] = names {
            records.push((namespace.clone(), snapshotter.clone(), record));
        }
        Ok(())
    })?;
    let folder =
        |snapshotter: &str| root.join(format!("io.containerd.snapshotter.v1.{snapshotter}/snapshots"));
    let mut named: HashSet<(String, u64)> = HashSet::new();
    let mut broken: HashSet<(String, String, String)> = HashSet::new();
    for (namespace, snapshotter, record) in &records {
        named.insert((snapshotter.clone(), record.directory));
        if !folder(snapshotter).join(record.directory.to_string()).is_dir() {
            broken.insert((namespace.clone(), snapshotter.clone(), record.key.clone()));
        }
    }
    // What stands on something broken is broken: until nothing new is found.
    loop {
        let before = broken.len();
        for (namespace, snapshotter, record) in
            records.iter().filter(|(.., record)| !record.parent.is_empty())
        {
            let parent = SNAPSHOTS.get(view, &[namespace, snapshotter, &record.parent])?;
            let committed = parent.is_some_and(|parent| parent.kind() == Kind::Committed);
            let place = |key: &str| (namespace.clone(), snapshotter.clone(), key.to_owned());
            if !committed || broken.contains(&place(&record.parent)) {
                broken.insert(place(&record.key));
            }
        }
        if broken.len() == before {
            break;
        }
    }
    let broken = broken.into_iter();
    findings.extend(broken.map(|(namespace, snapshotter, key)| Finding::Snapshot {
        namespace,
        snapshotter,
        key,
    }));
    for snapshotter in records.iter().map(|(_, snapshotter, _)| snapshotter).collect::<HashSet<_>>() {
        for name in list(&folder(snapshotter))? {
            if name.parse().is_ok_and(|number| !named.contains(&(snapshotter.clone(), number))) {
                findings.push(Finding::Directory { path: folder(snapshotter).join(name) });
            }
        }
    }
    Ok(())
}

/// The indexes must say what the records say.
fn indexes(view: &impl View, findings: &mut Vec<Finding>) -> Result<(), CheckError> {
    BLOBS.each(view, &[], |names, _| {
        if let [namespace, digest] = names
            && !HOLDERS.contains(view, &[digest, namespace])?
        {
            findings.push(Finding::NoHolder { namespace: namespace.clone(), digest: digest.clone() });
        }
        Ok(())
    })?;
    HOLDERS.each(view, &[], |names, ()| {
        if let [digest, namespace] = names
            && !BLOBS.contains(view, &[namespace, digest])?
        {
            findings.push(Finding::Holder { namespace: namespace.clone(), digest: digest.clone() });
        }
        Ok(())
    })?;
    SNAPSHOTS.each(view, &[], |names, record| {
        if let [namespace, snapshotter, key] = names
            && !record.parent.is_empty()
            && !CHILDREN.contains(view, &[namespace, snapshotter, &record.parent, key])?
        {
            let path = [namespace, snapshotter, &record.parent, key].map(String::clone);
            findings.push(Finding::NoChild { path });
        }
        Ok(())
    })?;
    CHILDREN.each(view, &[], |names, ()| {
        if let [namespace, snapshotter, parent, key] = names {
            let record = SNAPSHOTS.get(view, &[namespace, snapshotter, key])?;
            if record.is_none_or(|record| record.parent != *parent) {
                findings
                    .push(Finding::Child { path: [namespace, snapshotter, parent, key].map(String::clone) });
            }
        }
        Ok(())
    })?;
    LEASED.each(view, &[], |names, ()| {
        if let [namespace, lease, kind, id] = names
            && !LEASES.contains(view, &[namespace, lease])?
        {
            findings.push(Finding::Leased { path: [namespace, lease, kind, id].map(String::clone) });
        }
        Ok(())
    })?;
    Ok(())
}

fn list(folder: &Path) -> Result<Vec<String>, PathError> {
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(PathError::at("list", folder)(error)),
    }
}
