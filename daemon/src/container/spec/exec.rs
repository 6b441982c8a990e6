//! The process of an exec: the container's own, with other words, and more or less of the rest.

use dhow_engine_api::container::{ContainerConfig, HostConfig};
use dhow_engine_api::exec::ExecCreateRequest;
use oci_spec::runtime::Process;

use super::security::Security;
use super::user::Identity;
use super::{HostFacts, Join, Machine, Namespaces, SpecError, SpecInput, capability, process};

/// Builds the process of an exec.
///
/// # Errors
/// When there is nothing to run, or the container's own settings make no sense any more.
pub(crate) fn exec_process(
    config: &ContainerConfig,
    host: &HostConfig,
    request: &ExecCreateRequest,
    identity: &Identity,
    machine: &Machine,
) -> Result<Process, SpecError> {
    let mut config = ContainerConfig {
        cmd: request.cmd.clone(),
        entrypoint: None,
        tty: request.tty,
        env: Some(environment(config.env.as_deref(), request.env.as_deref())),
        ..config.clone()
    };
    if !request.working_dir.is_empty() {
        config.working_dir.clone_from(&request.working_dir);
    }
    let mut host = host.clone();
    host.privileged |= request.privileged;
    host.init = None;
    host.console_size = request.console_size.unwrap_or_default();
    let security = Security::parse(host.security_opt.as_deref().unwrap_or_default())
        .map_err(|error| SpecError::Invalid(error.to_string()))?;
    let bounding = capability::bounding(
        host.cap_add.as_deref().unwrap_or_default(),
        host.cap_drop.as_deref().unwrap_or_default(),
        host.privileged,
        &machine.capabilities,
    )?;
    let input = SpecInput {
        config: &config,
        host: &host,
        rootfs: "rootfs".as_ref(),
        cgroup_path: "",
        identity,
        namespaces: &Namespaces::private(Join::Private),
        mounts: &[],
        facts: &HostFacts::default(),
        machine,
    };
    process::process(&input, &security, &bounding)
}

/// The container's variables; those of the exec take their places.
fn environment(container: Option<&[String]>, exec: Option<&[String]>) -> Vec<String> {
    let name = |entry: &str| entry.split_once('=').map_or(entry, |(name, _)| name).to_owned();
    let exec = exec.unwrap_or_default();
    let kept =
        container.unwrap_or_default().iter().filter(|old| !exec.iter().any(|new| name(new) == name(old)));
    kept.chain(exec).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exec_is_the_container_with_other_words() {
        let words = |text: &str| Some(text.split(' ').map(str::to_owned).collect());
        let config = ContainerConfig {
            cmd: words("server"),
            entrypoint: words("/init"),
            env: words("A=1 B=2"),
            working_dir: "/srv".into(),
            ..ContainerConfig::default()
        };
        let request =
            ExecCreateRequest { cmd: words("sh -i"), env: words("B=3 C=4"), tty: true, ..Default::default() };
        let machine = Machine::read();
        let process = exec_process(&config, &HostConfig::default(), &request, &Identity::default(), &machine);
        let process = process.expect("process");
        assert_eq!(process.args().as_deref(), words("sh -i").as_deref());
        assert_eq!(process.cwd().to_str(), Some("/srv"));
        let env = process.env().clone().unwrap_or_default();
        for entry in ["A=1", "B=3", "C=4", "TERM=xterm"] {
            assert!(env.iter().any(|found| found == entry), "{entry} in {env:?}");
        }
        assert!(!env.iter().any(|found| found == "B=2"));
        assert_eq!(process.terminal(), Some(true));
    }
}
