//! The labels that steer garbage collection: containerd's.

/// An object with this label is a root.
pub(crate) const ROOT: &str = "containerd.io/gc.root";
/// The time until which an image or a lease counts (RFC 3339).
pub(crate) const EXPIRE: &str = "containerd.io/gc.expire";
/// A lease with this label holds what is in it, and not what that refers to.
pub(crate) const FLAT: &str = "containerd.io/gc.flat";
