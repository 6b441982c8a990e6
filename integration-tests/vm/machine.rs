//! QEMU: a PC by software emulation, which runs its job, says what it has to say, and goes away.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use dhow_integration_tests::process::wait;

use crate::image::Image;
use crate::options::Cgroup;

/// What the kernel is told. Its check of the timer fails now and then where a busy host emulates that, and would end
/// the boot in a panic.
const KERNEL_LINE: &str =
    "root=/dev/vda rw console=ttyS0 quiet mitigations=off net.ifnames=0 no_timer_check panic=-1";

/// How much of the console tells why a machine went down.
const CONSOLE_LINES: usize = 40;

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The job came to its end, with so many failures.
    Done { failed: u32 },
    /// The machine went down before.
    Silent { console: String },
    /// The deadline passed.
    Late { console: String },
}

/// A machine that runs.
#[derive(Debug)]
pub(crate) struct Machine {
    emulator: Child,
    console: PathBuf,
}

impl Machine {
    /// Turns it on.
    pub(crate) fn start(image: &Image, cgroup: Cgroup, payload: &Path, work: &Path) -> Self {
        let console = work.join("console");
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-nodefaults", "-no-reboot", "-display", "none", "-machine", "q35", "-cpu", "max"])
            .args(["-accel", "tcg,thread=multi", "-smp", "2", "-m", "3072", "-device", "virtio-rng-pci"])
            .arg("-kernel")
            .arg(&image.kernel)
            .arg("-initrd")
            .arg(&image.initrd)
            .args(["-append", &format!("{KERNEL_LINE} {}", cgroup.kernel_options())])
            // What it writes goes to a file without a name.
            .args(["-drive", &format!("file={},format=raw,if=virtio,snapshot=on", image.disk.display())])
            .args(["-drive", &format!("file={},format=raw,if=virtio,readonly=on", payload.display())])
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-chardev", "stdio,id=job,signal=off", "-serial", "chardev:job"])
            .env("TMPDIR", work)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let emulator = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        Self { emulator, console }
    }

    /// Shows what the job says until it ends.
    pub(crate) fn run(mut self, deadline: Duration) -> Outcome {
        let end = Instant::now() + deadline;
        let lines = lines(self.emulator.stdout.take().expect("piped"));
        let mut failed = None;
        while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            match line.strip_prefix("vm: done ") {
                Some(number) => failed = number.parse().ok(),
                None => writeln!(std::io::stdout(), "{line}").expect("somebody reads"),
            }
        }
        let ended = wait(&mut self.emulator, end.saturating_duration_since(Instant::now()));
        match (ended, failed) {
            (Some(_), Some(failed)) => Outcome::Done { failed },
            (Some(_), None) => Outcome::Silent { console: self.last_words() },
            (None, _) => Outcome::Late { console: self.last_words() },
        }
    }

    fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.emulator.kill());
        drop(self.emulator.wait());
    }
}

/// Reads lines in the background; the receiver ends with the pipe.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut bytes = Vec::new();
        while output.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
