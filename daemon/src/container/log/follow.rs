//! Following a log: inotify tells of new lines, the container's end tells of the last one.

use std::io;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot::Receiver;

use super::super::state::Exit;
use super::file::Cursor;
use super::{More, Sink, drain};

/// A look is taken this often without any sign, in case one was lost.
const SLEEP: Duration = Duration::from_secs(30);

/// Passes on lines until the container ends, the client leaves, or the wanted time is over.
pub(super) async fn follow(cursor: &mut Cursor, sink: &Sink, mut end: Receiver<Exit>) -> io::Result<()> {
    let folder = cursor.path().parent().map(ToOwned::to_owned).unwrap_or_default();
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, &folder, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
    // No pipe, but read and polled like one.
    let mut signs = pipe::Receiver::from_owned_fd_unchecked(watch)?;
    let mut forgotten = [0; 4096];
    let over = async {
        match sink.wish.until {
            Some(until) => {
                let left = jiff::Timestamp::now().duration_until(until);
                tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    loop {
        if drain(cursor, sink).await? == More::Done {
            return Ok(());
        }
        tokio::select! {
            () = sink.sender.closed() => return Ok(()),
            () = &mut over => return Ok(()),
            _ = &mut end => return drain(cursor, sink).await.map(drop),
            read = tokio::time::timeout(SLEEP, signs.read(&mut forgotten)) => if let Ok(count) = read { let _: usize = count?; },
        }
    }
}
