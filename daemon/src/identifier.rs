//! IDs of containers, execs and networks: 64 hexadecimal digits.

/// A new random ID. Its first twelve digits hold a letter, so that a short ID is never taken for a number.
///
/// # Errors
/// When the kernel has no random bytes to give.
pub(crate) fn random() -> Result<String, getrandom::Error> {
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let id = hex::encode(bytes);
        if id[..12].bytes().any(|digit| digit.is_ascii_alphabetic()) {
            return Ok(id);
        }
    }
}

/// The short form that people see.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
