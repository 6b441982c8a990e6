//! What the shim has to say: lines in logfmt on the `log` FIFO of the bundle, which the supervisor reads.
//!
//! Nobody may be there to read. Then lines are lost rather than anything waiting for them.

use std::cell::RefCell;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;

use crate::clock;

struct Journal {
    file: Option<File>,
    debug: bool,
    prefix: String,
    said: Vec<&'static str>,
}

thread_local! {
    static JOURNAL: RefCell<Journal> =
        const { RefCell::new(Journal { file: None, debug: false, prefix: String::new(), said: Vec::new() }) };
}

/// Opens the journal of container `id` at `path`.
pub(crate) fn open(path: &Path, id: &str, debug: bool) {
    // Opened for both directions, so that opening never waits and writing never meets a broken pipe.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).write(true).custom_flags(flags).open(path).ok();
    JOURNAL.with_borrow_mut(|journal| {
        journal.file = file;
        journal.debug = debug;
        journal.prefix = format!(" runtime=io.containerd.dhow.v2 id={id} pid={}", std::process::id());
    });
}

/// Something is degraded.
pub(crate) fn warn(action: &str, error: &(dyn Error + 'static)) {
    write("warning", &format!("{action}: {}", dhow_proto::error::chain(error)));
}

/// Something is degraded, and would be again with every byte: told once.
pub(crate) fn warn_once(action: &'static str, error: &(dyn Error + 'static)) {
    let new = JOURNAL.with_borrow_mut(|journal| {
        let new = !journal.said.contains(&action);
        if new {
            journal.said.push(action);
        }
        new
    });
    if new {
        warn(action, error);
    }
}

/// What happens, for whoever debugs.
pub(crate) fn debug(message: &str) {
    if JOURNAL.with_borrow(|journal| journal.debug) {
        write("debug", message);
    }
}

fn write(level: &str, message: &str) {
    JOURNAL.with_borrow_mut(|journal| {
        let Some(file) = &mut journal.file else { return };
        let mut line = b"time=\"".to_vec();
        clock::write_rfc3339_nano(&mut line, SystemTime::now());
        line.extend_from_slice(format!("\" level={level} msg={message:?}{}\n", journal.prefix).as_bytes());
        drop(file.write(&line));
    });
}
