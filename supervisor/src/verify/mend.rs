//! From a finding to true records.

use std::time::SystemTime;

use super::Finding;
use crate::content::{BLOBS, Blob, HOLDERS};
use crate::gc::label::EXPIRE;
use crate::label::Labels;
use crate::lease::LEASED;
use crate::metadata::{StoreError, Transaction};
use crate::namespace::{self, Namespace};
use crate::snapshot::{CHILDREN, SNAPSHOTS};

/// Changes the records so that `finding` is none any more; unknown blobs are kept until `until`.
pub(crate) fn mend(
    transaction: &mut Transaction<'_>,
    finding: &Finding,
    until: SystemTime,
) -> Result<(), StoreError> {
    match finding {
        Finding::Blob { namespace, digest } => {
            BLOBS.remove(transaction, &[namespace, digest])?;
            HOLDERS.remove(transaction, &[digest, namespace])?;
        }
        Finding::UnknownBlob { digest, size } => keep(transaction, digest, *size, until)?,
        Finding::Snapshot { namespace, snapshotter, key } => {
            if let Some(record) = SNAPSHOTS.get(transaction, &[namespace, snapshotter, key])? {
                CHILDREN.remove(transaction, &[namespace, snapshotter, &record.parent, key])?;
                SNAPSHOTS.remove(transaction, &[namespace, snapshotter, key])?;
            }
        }
        // The next start deletes it.
        Finding::Directory { .. } => {}
        Finding::NoHolder { namespace, digest } => {
            // Unless the blob itself was found bad, and is gone.
            if BLOBS.contains(transaction, &[namespace, digest])? {
                HOLDERS.put(transaction, &[digest, namespace], &())?;
            }
        }
        Finding::Holder { namespace, digest } => {
            HOLDERS.remove(transaction, &[digest, namespace])?;
        }
        Finding::NoChild { path: [namespace, snapshotter, parent, key] } => {
            if SNAPSHOTS.contains(transaction, &[namespace, snapshotter, key])? {
                CHILDREN.put(transaction, &[namespace, snapshotter, parent, key], &())?;
            }
        }
        Finding::Child { path: [namespace, snapshotter, parent, key] } => {
            CHILDREN.remove(transaction, &[namespace, snapshotter, parent, key])?;
        }
        Finding::Leased { path: [namespace, lease, kind, id] } => {
            LEASED.remove(transaction, &[namespace, lease, kind, id])?;
        }
    }
    Ok(())
}

/// Gives an unknown blob a record in the default namespace: from there others can take it over without a download.
fn keep(
    transaction: &mut Transaction<'_>,
    digest: &str,
    size: i64,
    until: SystemTime,
) -> Result<(), StoreError> {
    let Ok(home) = dhow_proto::namespace::DEFAULT.parse::<Namespace>() else { return Ok(()) };
    let expiry = jiff::Timestamp::try_from(until).map(|until| until.to_string()).unwrap_or_default();
    let labels = Labels::from([(EXPIRE.to_owned(), expiry)]);
    let now = Some(SystemTime::now().into());
    let blob =
        Blob { digest: digest.to_owned(), size, created_at: now, updated_at: now, labels, leased: true };
    namespace::ensure(transaction, &home)?;
    BLOBS.put(transaction, &[home.as_str(), digest], &blob)?;
    HOLDERS.put(transaction, &[digest, home.as_str()], &())
}
