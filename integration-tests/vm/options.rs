//! The command line, and what runs without one.

use std::path::PathBuf;
use std::time::Duration;

/// Far above what a boot takes on two slow cores, far below a CI's own limit.
const DEADLINE: Duration = Duration::from_secs(1200);

/// A test executable, and the filters handed to it.
type Selection = (&'static str, &'static [&'static str]);

/// What `make test-vm` runs, below which cgroups.
const LAP: &[(Cgroup, &[Selection])] = &[
    (
        Cgroup::V2,
        &[
            ("runtime", &[]),
            ("shim", &[]),
            ("supervisor", &["checkpoint::", "unified::"]),
            ("compat", &["containerd_life::our_shim_is_its_shim"]),
        ],
    ),
    (Cgroup::V1, &[("runtime", &["systemd"])]),
];

/// The cgroups that systemd sets up at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cgroup {
    /// One tree, cgroup v2.
    V2,
    /// v1 with its controllers, and systemd's own tree as v2.
    Hybrid,
    /// v1 alone.
    V1,
}

impl Cgroup {
    const ALL: [Self; 3] = [Self::V2, Self::Hybrid, Self::V1];

    /// How the command line and `DHOW_VM` name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::Hybrid => "hybrid",
            Self::V1 => "v1",
        }
    }

    /// How the kernel's command line tells systemd.
    pub(crate) fn kernel_options(self) -> &'static str {
        match self {
            Self::V2 => "systemd.unified_cgroup_hierarchy=1",
            Self::Hybrid => "systemd.unified_cgroup_hierarchy=0",
            Self::V1 => "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
        }
    }
}

/// What to run in the machines, and for how long at most in each.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) boots: Vec<Boot>,
    pub(crate) deadline: Duration,
}

/// One machine's life.
#[derive(Debug)]
pub(crate) struct Boot {
    pub(crate) cgroup: Cgroup,
    pub(crate) job: Job,
}

/// What to run in a machine.
#[derive(Debug)]
pub(crate) enum Job {
    /// Test executables.
    Tests(Vec<Test>),
    /// A folder with an executable `job`.
    Folder(PathBuf),
}

/// A test executable by name, and what to hand to it.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) filters: Vec<String>,
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments;
        let (mut names, mut filters) = (Vec::new(), Vec::new());
        let (mut folder, mut cgroup, mut deadline) = (None, None, DEADLINE);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "--cgroup" => {
                    let name = value()?;
                    let known = Cgroup::ALL.into_iter().find(|cgroup| cgroup.name() == name);
                    cgroup = Some(known.ok_or_else(|| format!("no cgroup {name}: v2, hybrid or v1"))?);
                }
                "--test" => names.push(value()?),
                "--share" => folder = Some(PathBuf::from(value()?)),
                "--deadline" => {
                    let seconds = value()?.parse().map_err(|_| "--deadline wants seconds".to_owned())?;
                    deadline = Duration::from_secs(seconds);
                }
                "--" => filters.extend(arguments.by_ref()),
                _ => {
                    let known = "--cgroup --test --share --deadline and -- are known";
                    return Err(format!("what is {argument}? {known}"));
                }
            }
        }
        let boots = if folder.is_none() && names.is_empty() && filters.is_empty() {
            lap(cgroup)
        } else {
            if names.is_empty() {
                names.push("runtime".to_owned());
            }
            let test = |name| Test { name, filters: filters.clone() };
            let tests = || Job::Tests(names.into_iter().map(test).collect());
            vec![Boot { cgroup: cgroup.unwrap_or(Cgroup::V2), job: folder.map_or_else(tests, Job::Folder) }]
        };
        Ok(Self { boots, deadline })
    }
}

/// The whole lap, or what of it is below one kind of cgroups.
fn lap(only: Option<Cgroup>) -> Vec<Boot> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let test = |(name, filters): &Selection| Test { name: (*name).to_owned(), filters: owned(filters) };
    let boots = LAP.iter().filter(|(cgroup, _)| only.is_none_or(|only| only == *cgroup));
    boots
        .map(|(cgroup, tests)| Boot { cgroup: *cgroup, job: Job::Tests(tests.iter().map(test).collect()) })
        .collect()
}
