//! The process of a container: arguments, environment, identity, limits.

use std::path::PathBuf;

use dhow_engine_api::container::{ContainerConfig, Ulimit};
use oci_spec::runtime::{
    Box as Window, BoxBuilder, Capability, LinuxCapabilities, PosixRlimit, PosixRlimitBuilder,
    PosixRlimitType, Process, User,
};

use super::mount::INIT_PATH;
use super::security::Security;
use super::user::Identity;
use super::{Join, SpecError, SpecInput};

/// Where programs are looked for when the image does not say.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn process(
    input: &SpecInput<'_>,
    security: &Security,
    bounding: &[String],
) -> Result<Process, SpecError> {
    let mut process = Process::default();
    process
        .set_terminal(Some(input.config.tty))
        .set_console_size(window(input))
        .set_user(user(input.identity))
        .set_args(Some(arguments(input)?))
        .set_env(Some(environment(input.config)))
        .set_cwd(working_directory(input.config))
        .set_capabilities(Some(capabilities(bounding)))
        .set_rlimits(rlimits(input.host.resources.ulimits.as_deref().unwrap_or_default())?)
        .set_no_new_privileges(Some(security.no_new_privileges))
        .set_oom_score_adj(Some(i32::try_from(input.host.oom_score_adj).unwrap_or(0)));
    if input.machine.apparmor {
        process.set_apparmor_profile(apparmor(input, security));
    }
    Ok(process)
}

/// The named profile; else Docker's default one when this host has it loaded.
fn apparmor(input: &SpecInput<'_>, security: &Security) -> Option<String> {
    match (&security.apparmor, input.host.privileged) {
        (Some(profile), _) => Some(profile.clone()),
        (None, true) => Some("unconfined".to_owned()),
        (None, false) => input.machine.default_apparmor.clone(),
    }
}

fn window(input: &SpecInput<'_>) -> Option<Window> {
    let [height, width] = input.host.console_size;
    if !input.config.tty || (height == 0 && width == 0) {
        return None;
    }
    BoxBuilder::default().height(height).width(width).build().ok()
}

/// The user of a spec.
pub(crate) fn user(identity: &Identity) -> User {
    let mut user = User::default();
    user.set_uid(identity.uid).set_gid(identity.gid).set_additional_gids(Some(identity.groups.clone()));
    user
}

/// Entrypoint and command, behind an init when one is asked for.
fn arguments(input: &SpecInput<'_>) -> Result<Vec<String>, SpecError> {
    let command = command(input.config);
    if command.is_empty() {
        return Err(SpecError::NoCommand);
    }
    if !(input.host.init == Some(true) && input.namespaces.pid == Join::Private) {
        return Ok(command);
    }
    let init = [INIT_PATH, "--"].map(str::to_owned);
    Ok(init.into_iter().chain(command).collect())
}

/// What runs: the entrypoint's words, then the command's.
pub(crate) fn command(config: &ContainerConfig) -> Vec<String> {
    let entrypoint = config.entrypoint.iter().flatten();
    entrypoint.chain(config.cmd.iter().flatten()).cloned().collect()
}

/// `PATH`, `HOSTNAME` and, on a terminal, `TERM`; then the container's own, which win. An entry without `=` removes.
pub(crate) fn environment(config: &ContainerConfig) -> Vec<String> {
    let mut environment = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={}", config.hostname)];
    if config.tty {
        environment.push("TERM=xterm".to_owned());
    }
    for entry in config.env.iter().flatten() {
        let name = entry.split('=').next().unwrap_or_default();
        let place = environment.iter().position(|old| old.split('=').next() == Some(name));
        match (place, entry.contains('=')) {
            (Some(place), true) => environment[place].clone_from(entry),
            (Some(place), false) => drop(environment.remove(place)),
            (None, true) => environment.push(entry.clone()),
            (None, false) => {}
        }
    }
    environment
}

fn working_directory(config: &ContainerConfig) -> PathBuf {
    if config.working_dir.is_empty() { "/".into() } else { config.working_dir.clone().into() }
}

/// Nothing inheritable, nothing ambient: capabilities end where root ends.
pub(crate) fn capabilities(bounding: &[String]) -> LinuxCapabilities {
    let set: std::collections::HashSet<Capability> =
        bounding.iter().filter_map(|name| serde_json::from_value(name.clone().into()).ok()).collect();
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(set.clone()))
        .set_effective(Some(set.clone()))
        .set_permitted(Some(set))
        .set_inheritable(None)
        .set_ambient(None);
    capabilities
}

fn rlimits(limits: &[Ulimit]) -> Result<Option<Vec<PosixRlimit>>, SpecError> {
    let rlimits = limits.iter().map(|limit| {
        let name = format!("RLIMIT_{}", limit.name.to_uppercase());
        let kind: PosixRlimitType =
            serde_json::from_value(name.into()).map_err(|_| SpecError::Ulimit(limit.name.clone()))?;
        let rlimit =
            PosixRlimitBuilder::default().typ(kind).soft(unlimited(limit.soft)).hard(unlimited(limit.hard));
        rlimit.build().map_err(|_| SpecError::Ulimit(limit.name.clone()))
    });
    let rlimits: Vec<_> = rlimits.collect::<Result<_, SpecError>>()?;
    Ok(Some(rlimits).filter(|list| !list.is_empty()))
}

/// -1 is RLIM_INFINITY.
fn unlimited(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
