//! The identity of a daemon: made once, kept with its data.

use dhow_linux::file::{self, Durability, PathError};

use crate::options::Options;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("keep the daemon's identity")]
    Document(#[from] PathError),
    #[error("get random bytes")]
    Random(#[from] getrandom::Error),
}

/// The identity of the daemon with these folders.
pub(crate) fn identity(options: &Options) -> Result<String, IdentityError> {
    let path = options.data_root.join("engine-id");
    match file::read_limited(&path, 256) {
        Ok(text) => return Ok(String::from_utf8_lossy(&text).trim().to_owned()),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    // A version 4 UUID.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    let id = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-");
    file::replace(&path, id.as_bytes(), 0o600, Durability::Disk)?;
    Ok(id)
}
