//! Commands of other programs: `docker-NAME` in one of the plugin directories is `NAME` here.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use crate::error::Failure;
use crate::session::Session;

/// Where plugins are, after the user's own directory.
const DIRECTORIES: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The plugin called `name`, when there is one.
pub(super) fn find(session: &Session, name: &str) -> Option<PathBuf> {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !plain {
        return None;
    }
    let own = session.config().directory().join("cli-plugins");
    let extra = session.config().document.cli_plugins_extra_dirs.iter().map(PathBuf::from);
    let directories = extra.chain([own]).chain(DIRECTORIES.iter().map(PathBuf::from));
    let executable = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    directories.map(|directory| directory.join(format!("docker-{name}"))).find(executable)
}

/// Becomes the plugin at `path`; `arguments` are all of ours, global options included.
pub(super) fn become_plugin(session: &Session, path: &PathBuf, arguments: &[OsString]) -> Failure {
    let mut command = std::process::Command::new(path);
    command.args(arguments);
    if let Ok(program) = std::env::current_exe() {
        command.env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", program);
    }
    // Plugins know Docker's socket only.
    if crate::environment("DOCKER_HOST").is_none()
        && session.context_name() == "default"
        && let Ok(host) = session.host()
    {
        command.env("DOCKER_HOST", host.to_string());
    }
    let error = command.exec();
    Failure::io(format!("exec {}", path.display()), &error)
}
