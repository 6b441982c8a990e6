//! The whole stack by its command line: run with and without a network, exec, many at once, the listing.

use std::process::{Command, Stdio};

use dhow_integration_tests::busybox;
use dhow_integration_tests::peers::{Dockerd, Release};
use dhow_integration_tests::stack::Stack;

use crate::measure::{Contender, compare, succeeds};

const ROUNDS: usize = 15;

/// Both daemons with a busybox image; Docker's lives in a network namespace of its own, so that its rules stay apart.
pub(crate) struct Pair {
    pub(crate) dhow: Stack,
    pub(crate) docker: Option<Dockerd>,
}

impl Pair {
    pub(crate) fn start() -> Self {
        let dhow = Stack::with_busybox();
        let docker = dhow_integration_tests::binaries::in_path("dockerd").map(|_| {
            let docker = Dockerd::start_with_network(Release::newest());
            let archive = busybox::tar(&docker.host().folder("images"));
            docker
                .docker(&["import", "-c", "CMD [\"sh\"]", archive.to_str().expect("UTF-8"), "busybox:latest"])
                .ok();
            docker
        });
        Self { dhow, docker }
    }

    /// The same arguments for `dhow` on our daemon and for `docker` on Docker's.
    pub(crate) fn commands(&self, arguments: &[&str]) -> Vec<(&'static str, Command)> {
        let mut commands = vec![("dhow", self.dhow.command("dhow", arguments))];
        if let Some(docker) = &self.docker {
            commands.push(("docker", docker.command(arguments)));
        }
        commands
    }

    fn compare(&self, what: &str, arguments: &[&str]) {
        let contender = |(name, mut command): (&'static str, Command)| {
            Contender::timed(name, move || succeeds(&mut command))
        };
        compare(what, "ms", ROUNDS, self.commands(arguments).into_iter().map(contender).collect());
    }

    fn compare_parallel(&self, what: &str, count: usize, arguments: &[&str]) {
        let contender = |(name, mut command): (&'static str, Command)| {
            Contender::timed(name, move || {
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                let children: Vec<_> = (0..count).filter_map(|_| command.spawn().ok()).collect();
                children.into_iter().all(|mut child| child.wait().is_ok_and(|status| status.success()))
            })
        };
        compare(what, "ms", 3, self.commands(arguments).into_iter().map(contender).collect());
    }
}

pub(crate) fn bench() {
    let pair = Pair::start();
    pair.compare("run --rm true, bridge", &["run", "--rm", "busybox", "true"]);
    pair.compare("run --rm true, no network", &["run", "--rm", "--network=none", "busybox", "true"]);
    for (_, mut command) in pair.commands(&["run", "-d", "--name", "box", "busybox", "sleep", "100000"]) {
        assert!(succeeds(&mut command), "start the container for exec");
    }
    pair.compare("exec true", &["exec", "box", "true"]);
    pair.compare("ps", &["ps"]);
    pair.compare("version (client start)", &["version"]);
    pair.compare_parallel("20 runs at once, bridge", 20, &["run", "--rm", "busybox", "true"]);
    pair.compare_parallel(
        "20 runs at once, no network",
        20,
        &["run", "--rm", "--network=none", "busybox", "true"],
    );
}
