//! Seccomp: Docker's default profile and profiles given as JSON, resolved for this kernel and these capabilities.

mod default;
mod profile;
#[cfg(test)]
mod tests;

use oci_spec::runtime::LinuxSeccomp;

pub(crate) use self::profile::ProfileError;
use self::profile::{Kernel, Profile, Situation};

/// The filter of a profile document, or of the default profile when there is none.
///
/// `capabilities` is the bounding set; `kernel` a release such as `6.1.0-12-amd64`.
pub(super) fn filter(
    document: Option<&str>,
    capabilities: &[String],
    kernel: &str,
) -> Result<Option<LinuxSeccomp>, ProfileError> {
    let profile: Profile = document.map_or_else(|| Ok(default::profile()), serde_json::from_str)?;
    let kernel = Kernel::parse(kernel).unwrap_or(Kernel { version: 0, revision: 0 });
    profile.resolve(&Situation { capabilities, architecture: architecture(), kernel })
}

/// Go's name of the architecture this was compiled for: what profiles speak of.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}
