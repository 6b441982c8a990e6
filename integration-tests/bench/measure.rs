//! Medians, ratios and the table they are printed in.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dhow_integration_tests::peers::Release;

/// One contender of a comparison: its name, and one run of the thing that is compared.
pub(crate) struct Contender<'a> {
    /// As the table's column calls it.
    pub(crate) name: &'static str,
    /// Runs once; `None` when this contender cannot do it here.
    pub(crate) run: Box<dyn FnMut() -> Option<f64> + 'a>,
    /// What Dhow is to reach: of Dhow itself a figure, of a peer the ratio to it.
    pub(crate) goal: Option<f64>,
}

impl<'a> Contender<'a> {
    /// A contender that is timed in milliseconds; `run` says whether it succeeded.
    pub(crate) fn timed(name: &'static str, mut run: impl FnMut() -> bool + 'a) -> Self {
        let run = move || {
            let start = Instant::now();
            run().then(|| milliseconds(start.elapsed()))
        };
        Self { name, run: Box::new(run), goal: None }
    }

    /// A contender that measures itself.
    pub(crate) fn measured(name: &'static str, run: impl FnMut() -> Option<f64> + 'a) -> Self {
        Self { name, run: Box::new(run), goal: None }
    }

    /// Notes what Dhow is to reach, beside itself or beside this peer.
    pub(crate) fn goal(mut self, goal: impl Into<Option<f64>>) -> Self {
        self.goal = goal.into();
        self
    }
}

/// Runs all contenders `rounds` times in turn, after one round that does not count, and prints a line.
///
/// The first contender is Dhow; the ratio of each peer is Dhow's median over the peer's.
pub(crate) fn compare(what: &str, unit: &str, rounds: usize, contenders: Vec<Contender<'_>>) {
    let mut contenders = contenders;
    let mut samples = vec![Vec::new(); contenders.len()];
    for round in 0..=rounds {
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            if let (Some(sample), true) = ((contender.run)(), round > 0) {
                samples.push(sample);
            }
        }
    }
    let medians: Vec<Option<f64>> = samples.into_iter().map(median).collect();
    let ours = medians.first().copied().flatten();
    let mut line = format!("{what:<34}");
    for (contender, median) in contenders.iter().zip(&medians) {
        let text = match (median, ours, contender.goal) {
            (None, ..) => "cannot".to_owned(),
            (Some(median), Some(ours), goal) if contender.name != "dhow" => {
                let goal = goal.map(|goal| format!(", goal x{goal:.2}")).unwrap_or_default();
                format!("{median:.1} {unit} (x{:.2}{goal})", ours / median)
            }
            (Some(median), _, Some(goal)) => format!("{median:.1} {unit} (goal {goal:.1})"),
            (Some(median), ..) => format!("{median:.1} {unit}"),
        };
        line.push_str(&format!(" {:>10} {text:<22}", contender.name));
    }
    println!("{}", line.trim_end());
}

fn median(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

/// A duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Runs a command without streams and says whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Says what this is measured on, and which peers are missing.
pub(crate) fn machine() {
    let first = |mut command: Command| {
        let text = command.output().ok()?.stdout;
        String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
    };
    let mut uname = Command::new("uname");
    uname.arg("-r");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("kernel {}, {cores} cores", first(uname).unwrap_or_default());
    let release = Release::newest();
    for peer in ["runc", "crun", "containerd", "dockerd", "docker"] {
        let mut version = release.command(peer);
        version.arg("--version");
        match first(version) {
            Some(version) => println!("{peer}: {version}"),
            None => println!(
                "{peer} is missing: apt-get install --no-install-recommends runc crun containerd docker.io"
            ),
        }
    }
}
