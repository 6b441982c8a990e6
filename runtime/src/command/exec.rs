//! `exec`: another process in a running container.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Outcome, Refusal, Verb, open};
use crate::container::{Container, ContainerId, Status};
use crate::launch::{Connection, Execution, exec};
use crate::options::Global;
use crate::spec::{self, Process};

/// What stands in front of its errors.
pub(super) const FAILED: &str = "exec failed";

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// path to an AF_UNIX socket which will receive a file descriptor referencing the master end of the console's
    /// pseudoterminal
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// path to an AF_UNIX socket which will receive a file descriptor referencing the exec process
    #[arg(long)]
    pidfd_socket: Option<PathBuf>,
    /// current working directory in the container
    #[arg(long)]
    cwd: Option<String>,
    /// set environment variables
    #[arg(long, short)]
    env: Vec<String>,
    /// allocate a pseudo-TTY
    #[arg(long, short)]
    tty: bool,
    #[allow(rustdoc::broken_intra_doc_links, reason = "help")]
    /// UID (format: <uid>[:<gid>])
    #[arg(long, short)]
    user: Option<String>,
    /// additional gids
    #[arg(long, short = 'g')]
    additional_gids: Vec<i64>,
    /// path to the process.json
    #[arg(long, short)]
    process: Option<PathBuf>,
    /// detach from the container's process
    #[arg(long, short)]
    detach: bool,
    /// specify the file to write the process id to
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// set the asm process label for the process commonly used with selinux
    #[arg(long)]
    process_label: Option<String>,
    /// set the apparmor profile for the process
    #[arg(long)]
    apparmor: Option<String>,
    /// set the no new privileges value for the process
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    no_new_privs: Option<bool>,
    /// add a capability to the bounding set for the process
    #[arg(long, short)]
    cap: Vec<String>,
    /// Pass N additional file descriptors to the container (stdio + $LISTEN_FDS + N in total)
    #[arg(long, default_value_t = 0, value_name = "N")]
    preserve_fds: i32,
    #[allow(rustdoc::broken_intra_doc_links, reason = "help")]
    /// run the process in an (existing) sub-cgroup(s). Format is [<controller>:]<cgroup>.
    #[arg(long)]
    cgroup: Vec<String>,
    /// allow exec in a paused container
    #[arg(long)]
    ignore_paused: bool,
    /// the container
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
    /// the command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Verb for ExecArgs {
    const NAME: &str = "exec";
    const HELP: &str = "execute new process inside the container";

    fn run(self, global: &Global) -> Outcome {
        self.try_run(global).map_err(Failure::context(FAILED, 255))
    }
}

impl ExecArgs {
    fn try_run(self, global: &Global) -> Outcome {
        let connection = Connection {
            console_socket: self.console_socket.clone(),
            pidfd_socket: self.pidfd_socket.clone(),
            pid_file: self.pid_file.clone(),
            preserve_fds: self.preserve_fds,
            detach: self.detach,
        };
        let container = open(global, &self.id)?;
        match container.status()? {
            Status::Stopped => return Err(Refusal("cannot exec in a stopped container".to_owned()).into()),
            Status::Paused if !self.ignore_paused => {
                let text = "cannot exec in a paused container (use --ignore-paused to override)";
                return Err(Refusal(text.to_owned()).into());
            }
            _ => {}
        }
        let cgroups = sub_cgroups(&self.cgroup)?;
        let spec = container.spec()?;
        let process = self.process(&container)?;
        crate::validate::process(Some(&process))?;
        let execution = Execution {
            container: &container,
            spec: &spec,
            process: &process,
            connection: connection.absolute()?,
            cgroups,
            rootless_cgroups: global.rootless_cgroups,
        };
        Ok(exec(execution)?)
    }

    /// The process: a document, or the container's own with what the flags change.
    fn process(self, container: &Container) -> Result<Process, Failure> {
        if let Some(path) = &self.process {
            return Ok(spec::load_process(path)?);
        }
        if self.command.is_empty() {
            return Err(Refusal("exec args cannot be empty".to_owned()).into());
        }
        // The bundle may have been changed on purpose since `create`: its process is what counts.
        let (bundle, _) = spec::load(&container.state.bundle.join("config.json"))?;
        let mut process = bundle.process.unwrap_or_default();
        process.args = self.command;
        if let Some(cwd) = self.cwd.filter(|cwd| !cwd.is_empty()) {
            process.cwd = cwd;
        }
        if let Some(profile) = self.apparmor.filter(|profile| !profile.is_empty()) {
            process.apparmor_profile = profile;
        }
        if let Some(label) = self.process_label.filter(|label| !label.is_empty()) {
            process.selinux_label = label;
        }
        if !self.cap.is_empty() {
            let sets = process.capabilities.get_or_insert_default();
            for capability in self.cap {
                sets.bounding.push(capability.clone());
                sets.effective.push(capability.clone());
                sets.permitted.push(capability.clone());
                // Ambient ones need inheritable ones, which only the configuration gives.
                if !sets.inheritable.is_empty() {
                    sets.ambient.push(capability);
                }
            }
        }
        process.env.extend(self.env);
        process.terminal = self.tty;
        if let Some(value) = self.no_new_privs {
            process.no_new_privileges = value;
        }
        if let Some(user) = self.user.filter(|user| !user.is_empty()) {
            (process.user.uid, process.user.gid) = parse_user(&user, process.user.gid)?;
        }
        for gid in self.additional_gids {
            let text = || format!("additional-gids must be a positive number {gid}");
            process.user.additional_gids.push(u32::try_from(gid).map_err(|_| Refusal(text()))?);
        }
        Ok(process)
    }
}

/// `UID[:GID]`, numbers only: names are the business of who knows the image.
fn parse_user(text: &str, gid: u32) -> Result<(u32, u32), Refusal> {
    let number = |what: &str, text: &str| {
        text.parse().map_err(|_| Refusal(format!("bad {what}: parsing {text:?}: invalid syntax")))
    };
    match text.split_once(':') {
        Some((uid, gid)) => Ok((number("uid", uid)?, number("gid", gid)?)),
        None => Ok((number("uid", text)?, gid)),
    }
}

/// `[CONTROLLER[,…]:]PATH`, several times.
fn sub_cgroups(arguments: &[String]) -> Result<Vec<(String, String)>, Refusal> {
    let mut paths: Vec<(String, String)> = Vec::new();
    for argument in arguments {
        let Some((controllers, path)) = argument.split_once(':') else {
            if arguments.len() != 1 {
                let text = format!("invalid --cgroup argument: {argument} (missing <controller>: prefix)");
                return Err(Refusal(text));
            }
            paths.push((String::new(), argument.clone()));
            continue;
        };
        for controller in controllers.split(',') {
            if controller.is_empty() {
                let text = format!("invalid --cgroup argument: {argument} (empty <controller> prefix)");
                return Err(Refusal(text));
            }
            if paths.iter().any(|(known, _)| known == controller) {
                let text =
                    format!("invalid --cgroup argument(s): controller {controller} specified multiple times");
                return Err(Refusal(text));
            }
            paths.push((controller.to_owned(), path.to_owned()));
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_cgroups_by_controller() {
        let parse =
            |list: &[&str]| sub_cgroups(&list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&["a"]).expect("valid"), [(String::new(), "a".to_owned())]);
        assert_eq!(parse(&["cpu,memory:x", "pids:y"]).expect("valid").len(), 3);
        for bad in [&["a", "b"][..], &["cpu,:x"], &["cpu:x", "cpu:y"]] {
            parse(bad).expect_err("refused");
        }
    }

    #[test]
    fn users_are_numbers() {
        assert_eq!(parse_user("5", 7).expect("valid"), (5, 7));
        assert_eq!(parse_user("5:6", 7).expect("valid"), (5, 6));
        parse_user("root", 0).expect_err("refused");
    }
}
