//! Where the binaries under test lie: `$DHOW_BIN`, or `bin/` beside `Cargo.toml`, as `make build` fills it.

use std::path::{Path, PathBuf};

/// The folder with Dhow's five binaries.
#[must_use]
pub fn folder() -> PathBuf {
    std::env::var_os("DHOW_BIN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("bin"),
        PathBuf::from,
    )
}

/// The path of one of the five.
///
/// # Panics
/// When it was not built.
#[must_use]
#[track_caller]
pub fn path(name: &str) -> PathBuf {
    let path = folder().join(name);
    assert!(path.exists(), "{} is missing: run `make build`", path.display());
    path
}

/// The OCI runtime under test: `$RUNTIME`, so that a peer can prove the tests, or `dhow-runtime`.
#[must_use]
pub fn runtime() -> PathBuf {
    std::env::var_os("RUNTIME").map_or_else(|| path("dhow-runtime"), PathBuf::from)
}

/// The first `name` in `$PATH`.
#[must_use]
pub fn in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
}
