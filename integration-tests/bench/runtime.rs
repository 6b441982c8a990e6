//! The runtimes on one bundle: run, create+start+delete, exec, and the peak memory of create.

use std::path::{Path, PathBuf};
use std::process::Command;

use dhow_integration_tests::binaries;
use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::host::Host;
use dhow_integration_tests::peers::Release;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::measure::{Contender, compare, succeeds};

const ROUNDS: usize = 40;

/// Where a hybrid host has cgroup v2 beside v1's controllers.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// A program that only ends. Busybox, which is static too, takes half a millisecond to start: glibc asks the processor
/// about itself, which a virtual machine traps. That is not the runtime's time.
const NOTHING: &str = r#"
void _start(void) {
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(60), "D"(0));
#elif defined(__aarch64__)
    register long status __asm__("x0") = 0, call __asm__("x8") = 93;
    __asm__ volatile("svc 0" : : "r"(status), "r"(call));
#endif
}
"#;

/// One contender: its name, its program, and what the three times of Dhow are to be of its own.
struct Runtime {
    name: &'static str,
    path: PathBuf,
    goals: Option<[f64; 3]>,
}

pub(crate) fn bench() {
    let size = std::fs::metadata(binaries::runtime()).map(|meta| meta.len()).unwrap_or_default();
    println!("size of the binary: {:.1} MB (goal 3.0)", size as f64 / 1e6);
    let unified = Path::new(UNIFIED).join("cgroup.procs").exists();
    let host = Host::new();
    if !unified {
        return side_by_side(&host, &["runc", "crun"]);
    }
    side_by_side(&host, &["runc"]);
    println!("\nwithout {UNIFIED}, for all: crun refuses hybrid hosts");
    let host = Host::new();
    std::thread::scope(|scope| {
        // On a thread of its own: it leaves the mount namespace of the others, and what it starts goes with it.
        let measuring = scope.spawn(|| without_unified().map(|()| side_by_side(&host, &["crun", "runc"])));
        measuring.join().expect("the bench does not panic").expect("hide cgroup v2");
    });
}

/// Hides cgroup v2 below an empty folder: crun makes a folder there without asking what it is.
fn without_unified() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    umount2(UNIFIED, MntFlags::MNT_DETACH)?;
    mount(Some("tmpfs"), UNIFIED, Some("tmpfs"), MsFlags::empty(), None::<&str>)
}

/// Compares with the containers' states in memory, where /run is.
fn side_by_side(host: &Host, peers: &[&'static str]) {
    let state = host.folder("state");
    mount(Some("tmpfs"), &state, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("mount a tmpfs");
    compare_all(host, &state, peers);
    umount2(&state, MntFlags::MNT_DETACH).expect("unmount the tmpfs");
}

fn compare_all(host: &Host, state: &Path, peers: &[&'static str]) {
    let mut bundle = Bundle::new(host, "bench", "");
    bundle.spec["process"]["args"] = serde_json::json!(["/bin/true"]);
    bundle.save();
    let runtimes = runtimes(peers);
    let call = |runtime: &Path, arguments: &[&str]| {
        let root = state.join(runtime.file_name().expect("a name"));
        succeeds(Command::new(runtime).arg("--root").arg(root).args(arguments))
    };
    let folder = bundle.folder().to_str().expect("UTF-8");
    let run = |runtime: &Path, name: &str| call(runtime, &["run", "-b", folder, name]);
    compare("run busybox true (static glibc)", "ms", ROUNDS, each(&runtimes, 0, &run));
    match nothing(host) {
        Some(bundle) => {
            let folder = bundle.folder().to_str().expect("UTF-8");
            let run = |runtime: &Path, name: &str| call(runtime, &["run", "-b", folder, name]);
            compare("run a program without libc", "ms", ROUNDS, each(&runtimes, 0, &run));
        }
        None => println!("run a program without libc: needs gcc"),
    }
    let life = |runtime: &Path, name: &str| {
        call(runtime, &["create", "-b", folder, name])
            && call(runtime, &["start", name])
            && call(runtime, &["delete", "-f", name])
    };
    compare("create + start + delete -f", "ms", ROUNDS, each(&runtimes, 1, &life));
    for Runtime { name, path, .. } in &runtimes {
        // Each in a cgroup of its own: a newer runc starts nothing beside another's processes.
        let sleeper = Bundle::new(host, &format!("sleeper-{name}"), "exec sleep 100000");
        call(path, &["run", "-d", "-b", sleeper.folder().to_str().expect("UTF-8"), name]);
    }
    compare(
        "exec true",
        "ms",
        ROUNDS,
        each(&runtimes, 2, &|runtime, name| call(runtime, &["exec", name, "true"])),
    );
    for Runtime { name, path, .. } in &runtimes {
        call(path, &["delete", "-f", name]);
    }
    let peak = |runtime: &Runtime| {
        let (name, path) = (runtime.name, runtime.path.clone());
        let call = &call;
        let contender = Contender::measured(name, move || {
            let root = state.join(path.file_name()?);
            let mut time = Command::new("/usr/bin/time");
            time.args(["-f", "%M"]).arg(&path).arg("--root").arg(root).args(["create", "-b", folder, name]);
            let log = host.path("time");
            let errors = std::fs::File::create(&log).ok()?;
            let created = time.stdout(std::process::Stdio::null()).stderr(errors).status().ok()?.success();
            call(&path, &["delete", "-f", name]);
            let text = std::fs::read_to_string(log).ok()?;
            created.then(|| {
                text.lines().last().and_then(|line| line.parse::<f64>().ok()).map(|kb| kb / 1024.0)
            })?
        });
        contender.goal(runtime.goals.map(|_| 1.0))
    };
    if Path::new("/usr/bin/time").exists() {
        compare("peak memory of create", "MB", 5, runtimes.iter().map(peak).collect());
    }
}

/// A bundle that runs the program that only ends.
fn nothing(host: &Host) -> Option<Bundle> {
    let mut bundle = Bundle::new(host, "nothing", "");
    bundle.spec["process"]["args"] = serde_json::json!(["/bin/nothing"]);
    bundle.save();
    let source = host.path("nothing.c");
    std::fs::write(&source, NOTHING).ok()?;
    let mut compiler = Command::new("gcc");
    compiler.args(["-O2", "-nostdlib", "-static", "-no-pie", "-o"]);
    succeeds(compiler.arg(bundle.rootfs("bin/nothing")).arg(source)).then_some(bundle)
}

fn each<'a>(
    runtimes: &'a [Runtime],
    time: usize,
    run: &'a dyn Fn(&Path, &str) -> bool,
) -> Vec<Contender<'a>> {
    let contender = |runtime: &'a Runtime| {
        let goal = runtime.goals.map(|goals| goals[time]);
        Contender::timed(runtime.name, move || run(&runtime.path, runtime.name)).goal(goal)
    };
    runtimes.iter().map(contender).collect()
}

/// Ours, and the newest of these peers.
fn runtimes(peers: &[&'static str]) -> Vec<Runtime> {
    let release = Release::newest();
    let peer = |name: &&'static str| {
        let path = release.program(name);
        let goals = (*name == "crun").then_some([0.6, 0.5, 0.6]);
        let path = if path.is_absolute() { Some(path) } else { binaries::in_path(name) };
        path.map(|path| Runtime { name, path, goals })
    };
    let ours = Runtime { name: "dhow", path: binaries::runtime(), goals: None };
    std::iter::once(ours).chain(peers.iter().filter_map(peer)).collect()
}
