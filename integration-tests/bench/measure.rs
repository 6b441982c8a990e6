//! Medians, ratios and the table they are printed in.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dhow_integration_tests::binaries;

/// One contender of a comparison: its name, and one run of the thing that is compared.
pub(crate) struct Contender<'a> {
    /// As the table's column calls it.
    pub(crate) name: &'static str,
    /// Runs once; `None` when this contender cannot do it here.
    pub(crate) run: Box<dyn FnMut() -> Option<f64> + 'a>,
}

impl<'a> Contender<'a> {
    /// A contender that is timed in milliseconds; `run` says whether it succeeded.
    pub(crate) fn timed(name: &'static str, mut run: impl FnMut() -> bool + 'a) -> Self {
        let run = move || {
            let start = Instant::now();
            run().then(|| milliseconds(start.elapsed()))
        };
        Self { name, run: Box::new(run) }
    }

    /// A contender that measures itself.
    pub(crate) fn measured(name: &'static str, run: impl FnMut() -> Option<f64> + 'a) -> Self {
        Self { name, run: Box::new(run) }
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
        let text = match (median, ours) {
            (None, _) => "cannot".to_owned(),
            (Some(median), Some(ours)) if contender.name != "dhow" => {
                format!("{median:.1} {unit} (x{:.2})", ours / median)
            }
            (Some(median), _) => format!("{median:.1} {unit}"),
        };
        line.push_str(&format!(" {:>9} {text:<22}", contender.name));
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
    let first = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().next().map(str::to_owned)
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("kernel {}, {cores} cores", first("uname", "-r").unwrap_or_default());
    for peer in ["runc", "crun", "containerd", "dockerd", "docker"] {
        match binaries::in_path(peer) {
            Some(_) => println!("{}", first(peer, "--version").unwrap_or_default()),
            None => println!(
                "{peer} is missing: apt-get install --no-install-recommends runc crun containerd docker.io"
            ),
        }
    }
}
