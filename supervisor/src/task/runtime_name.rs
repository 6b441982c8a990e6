//! Which shim binary a runtime name means.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::error::LaunchError;

/// Our own shim.
const OWN: &str = "containerd-shim-dhow-v2";

/// Finds the shim of `runtime`: a path is taken as it is; `io.containerd.X.vN` is `containerd-shim-X-vN` beside this
/// binary or in `path`. Where runc's own shim is missing, ours takes its place.
pub(super) fn resolve(runtime: &str, path: &OsStr) -> Result<PathBuf, LaunchError> {
    if runtime.is_empty() {
        return Err(LaunchError::NoName);
    }
    let not_installed =
        |binary: &str| LaunchError::NotInstalled { name: runtime.to_owned(), binary: binary.to_owned() };
    if Path::new(runtime).is_absolute() {
        return if Path::new(runtime).is_file() { Ok(runtime.into()) } else { Err(not_installed(runtime)) };
    }
    let binary = binary_name(runtime).ok_or_else(|| LaunchError::Name(runtime.to_owned()))?;
    find(&binary, path)
        .or_else(|| (binary == "containerd-shim-runc-v2").then(own).flatten())
        .ok_or_else(|| not_installed(&binary))
}

fn binary_name(runtime: &str) -> Option<String> {
    let mut parts = runtime.rsplit('.');
    let (version, name) = (parts.next()?, parts.next()?);
    let safe = |part: &str| !part.is_empty() && !part.contains('/');
    (safe(version) && safe(name)).then(|| format!("containerd-shim-{name}-{version}"))
}

/// Our own shim, if it is installed.
pub(super) fn own() -> Option<PathBuf> {
    find(OWN, &std::env::var_os("PATH").unwrap_or_default())
}

fn find(binary: &str, path: &OsStr) -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(binary));
    let in_path: Vec<PathBuf> = std::env::split_paths(path).map(|folder| folder.join(binary)).collect();
    beside.into_iter().chain(in_path).find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_binaries() {
        assert_eq!(binary_name("io.containerd.runc.v2").as_deref(), Some("containerd-shim-runc-v2"));
        assert_eq!(binary_name("io.foo.bar.v2.baz").as_deref(), Some("containerd-shim-v2-baz"));
        for bad in ["runc", ".", "a.", "io.a/x.v2"] {
            assert_eq!(binary_name(bad), None, "{bad}");
        }
        let resolve = |runtime: &str| resolve(runtime, OsStr::new("/missing"));
        assert!(matches!(resolve(""), Err(LaunchError::NoName)));
        assert!(matches!(resolve("/missing/shim"), Err(LaunchError::NotInstalled { .. })));
        let missing = resolve("io.containerd.missing.v2").expect_err("not installed").to_string();
        assert!(missing.contains("binary not installed \"containerd-shim-missing-v2\""), "{missing}");
    }
}
