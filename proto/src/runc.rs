//! The options of runc's shim, in the two forms in which clients send them.
//!
//! containerd's client library up to 1.7 knows runtimes by name: to all but `io.containerd.runc.*` it sends the older
//! messages of package `containerd.linux.runc`. What they hold is the same.

use prost::DecodeError;
use prost_types::Any;

use crate::any::unpack;
use crate::containerd::linux::runc as older;
use crate::containerd::runc::v1::{CheckpointOptions, Options};

/// Unpacks what a task is created with.
///
/// # Errors
/// `None` when it holds something else; the decoding error when its bytes are not what it says.
pub fn options(any: &Any) -> Option<Result<Options, DecodeError>> {
    let convert = |older: older::CreateOptions| Options {
        no_pivot_root: older.no_pivot_root,
        no_new_keyring: older.no_new_keyring,
        shim_cgroup: older.shim_cgroup,
        io_uid: older.io_uid,
        io_gid: older.io_gid,
        criu_image_path: older.criu_image_path,
        criu_work_path: older.criu_work_path,
        ..Options::default()
    };
    unpack(any).or_else(|| Some(unpack(any)?.map(convert)))
}

/// Unpacks what a checkpoint is made with.
///
/// # Errors
/// As [`options`].
pub fn checkpoint_options(any: &Any) -> Option<Result<CheckpointOptions, DecodeError>> {
    let convert = |older: older::CheckpointOptions| CheckpointOptions {
        exit: older.exit,
        open_tcp: older.open_tcp,
        external_unix_sockets: older.external_unix_sockets,
        terminal: older.terminal,
        file_locks: older.file_locks,
        empty_namespaces: older.empty_namespaces,
        cgroups_mode: older.cgroups_mode,
        image_path: older.image_path,
        work_path: older.work_path,
        ..CheckpointOptions::default()
    };
    unpack(any).or_else(|| Some(unpack(any)?.map(convert)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::any::pack;

    #[test]
    fn both_forms_say_the_same() {
        let newer = Options { io_uid: 7, no_pivot_root: true, ..Options::default() };
        let older = older::CreateOptions { io_uid: 7, no_pivot_root: true, ..Default::default() };
        for any in [pack(&newer), pack(&older)] {
            assert_eq!(options(&any), Some(Ok(newer.clone())));
        }
        let newer = CheckpointOptions { exit: true, image_path: "/i".to_owned(), ..Default::default() };
        let older =
            older::CheckpointOptions { exit: true, image_path: "/i".to_owned(), ..Default::default() };
        for any in [pack(&newer), pack(&older)] {
            assert_eq!(checkpoint_options(&any), Some(Ok(newer.clone())));
        }
        assert_eq!(options(&pack(&newer)), None);
    }
}
