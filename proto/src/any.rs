//! `Any` as containerd writes it: the type URL is the bare message name, with no `type.googleapis.com/` before it.

use prost::{Message, Name};
use prost_types::Any;

/// Type URL of an OCI runtime spec kept as JSON bytes.
pub const SPEC_URL: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
/// Type URL of an OCI process kept as JSON bytes.
pub const PROCESS_URL: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// Type URL of OCI linux resources kept as JSON bytes.
pub const RESOURCES_URL: &str = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

/// Packs `message` under its full protobuf name.
#[must_use]
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::full_name(), value: message.encode_to_vec() }
}

/// Packs JSON bytes under one of the URLs of this module.
#[must_use]
pub fn pack_json(type_url: &str, json: Vec<u8>) -> Any {
    Any { type_url: type_url.to_owned(), value: json }
}

/// The name in a type URL: what follows the last `/` of a Google prefix, or the whole of it.
#[must_use]
pub fn name(any: &Any) -> &str {
    any.type_url.strip_prefix("type.googleapis.com/").unwrap_or(&any.type_url)
}

/// Unpacks `any` when it holds an `M`.
///
/// # Errors
/// `None` when the type differs; the decoding error when the bytes are not an `M`.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Option<Result<M, prost::DecodeError>> {
    (name(any) == M::full_name()).then(|| M::decode(any.value.as_slice()))
}
