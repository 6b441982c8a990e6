//! The namespace and the lease of a request: metadata keys of containerd's gRPC and ttrpc.

/// gRPC metadata key of the namespace that a request works in.
pub const GRPC_HEADER: &str = "containerd-namespace";
/// ttrpc metadata key of the namespace that a request works in.
pub const TTRPC_HEADER: &str = "containerd-namespace-ttrpc";
/// gRPC metadata key of the lease that owns what a request makes.
pub const LEASE_HEADER: &str = "containerd-lease";
/// The namespace that clients use when nothing else is said.
pub const DEFAULT: &str = "default";
