//! The one writer: a thread that runs waiting closures together and commits them once.
//!
//! Of the closures that wait, those for the boot are committed first, without a sync, and answered; then those for
//! the disk, with one sync for all. A closure that fails after it changed something makes the transaction start
//! again without it; one that fails before costs its neighbours nothing.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::database::Handle;
use super::journal::Journal;
use super::reserve::Reserve;
use super::transaction::Operation;
use super::{Barrier, Durability, META, Meta, StoreError, TABLE, Transaction};

/// How long a commit for the boot may wait for its sync.
const SYNC_AFTER: Duration = Duration::from_millis(250);
/// How many closures one transaction takes at most.
const BATCH: usize = 256;

/// The way to the writer thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<SyncSender<Message>>>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Run(Durability, Box<dyn Job>),
    Sync(oneshot::Sender<Result<(), StoreError>>),
    Close(oneshot::Sender<()>),
}

/// A closure and the caller who waits for it.
trait Job: Send {
    /// Runs the closure; whether it succeeded.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> bool;
    /// Answers the caller: with what the closure returned, or with the failure of the commit.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Pending<F, T, R, E> {
    work: F,
    then: T,
    outcome: Option<Result<R, E>>,
    caller: oneshot::Sender<Result<R, E>>,
}

impl<F, T, R, E> Job for Pending<F, T, R, E>
where
    F: FnMut(&mut Transaction<'_>) -> Result<R, E> + Send,
    T: FnOnce(&R) + Send,
    R: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_>) -> bool {
        self.outcome.insert((self.work)(transaction)).is_ok()
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) | (_, Some(outcome @ Err(_))) => outcome,
            (Ok(()), None) => Err(StoreError::Closed.into()),
            (Err(error), _) => Err(error.into()),
        };
        if let Ok(value) = &answer {
            (self.then)(value);
        }
        // A caller who gave up has nobody to tell.
        drop(self.caller.send(answer));
    }
}

impl Writer {
    pub(super) fn start(
        database: Arc<Handle>,
        barrier: Arc<Barrier>,
        journal: Journal,
        reserve: Reserve,
    ) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(BATCH);
        let engine = Engine { database, barrier, journal, reserve, unsynced: None, failed: false };
        let thread = std::thread::Builder::new().name("metadata".into());
        let thread = Some(thread.spawn(move || engine.serve(&receiver))?);
        Ok(Self { queue: Mutex::new(Some(sender)), thread })
    }

    pub(super) async fn run<R, E>(
        &self,
        durability: Durability,
        work: impl FnMut(&mut Transaction<'_>) -> Result<R, E> + Send + 'static,
        then: impl FnOnce(&R) + Send + 'static,
    ) -> Result<R, E>
    where
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let job = Box::new(Pending { work, then, outcome: None, caller });
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match queue {
            Some(queue) => send(queue, Message::Run(durability, job)).await,
            // With the job goes the caller's end, and the answer is that there is none.
            None => drop(job),
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    pub(super) async fn sync(&self) -> Result<(), StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (done, synced) = oneshot::channel();
        match queue {
            Some(queue) => send(queue, Message::Sync(done)).await,
            None => drop(done),
        }
        synced.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(super) async fn close(&self) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (done, closed) = oneshot::channel();
        if let Some(queue) = queue {
            send(queue, Message::Close(done)).await;
            // However the writer ended, it has.
            _ = closed.await;
        }
    }
}

/// Ends the thread, which syncs, so that the file is free when the last store is gone.
impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        // The last store may have been held by a closure that the thread itself has just dropped.
        if let Some(thread) = self.thread.take().filter(|it| it.thread().id() != std::thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the metadata writer panicked");
        }
    }
}

/// Queues `message`, off this thread when the queue is full. It is dropped when the writer has ended.
async fn send(queue: SyncSender<Message>, message: Message) {
    if let Err(mpsc::TrySendError::Full(message)) = queue.try_send(message) {
        crate::blocking::run(move || drop(queue.send(message))).await;
    }
}

/// How a transaction over several jobs went.
enum Attempt {
    /// All of them are committed.
    Done,
    /// This one failed, and must go before the others can be committed.
    Failed(usize),
    /// This one wants room on a full disk.
    Refused(usize),
}

struct Engine {
    database: Arc<Handle>,
    barrier: Arc<Barrier>,
    journal: Journal,
    reserve: Reserve,
    /// When the oldest commit without a sync was made, or the file was last found to be unusable.
    unsynced: Option<Instant>,
    /// Whether the file must be opened again.
    failed: bool,
}

impl Engine {
    fn serve(mut self, queue: &Receiver<Message>) {
        while let Some(first) = self.next(queue) {
            let mut boot: Vec<Box<dyn Job>> = Vec::new();
            let mut disk: Vec<Box<dyn Job>> = Vec::new();
            let (mut syncing, mut closing) = (Vec::new(), None);
            for message in std::iter::once(first).chain(std::iter::from_fn(|| queue.try_recv().ok())) {
                match message {
                    Message::Run(Durability::Process, job) => boot.push(job),
                    Message::Run(Durability::Disk, job) => disk.push(job),
                    Message::Sync(done) => syncing.push(done),
                    Message::Close(done) => closing = Some(done),
                }
                if closing.is_some() || boot.len() + disk.len() >= BATCH {
                    break;
                }
            }
            self.commit(Durability::Process, boot);
            self.commit(Durability::Disk, disk);
            if !syncing.is_empty() || closing.is_some() {
                self.sync();
            }
            for done in syncing {
                let synced = if self.unsynced.is_none() { Ok(()) } else { Err(StoreError::Failed) };
                // Who asked may have gone.
                drop(done.send(synced));
            }
            if let Some(done) = closing {
                _ = done.send(());
                return;
            }
        }
        self.sync();
    }

    /// The next message; while waiting, syncs what has waited long enough. `None` when nobody can send any more.
    fn next(&mut self, queue: &Receiver<Message>) -> Option<Message> {
        loop {
            let Some(since) = self.unsynced else { return queue.recv().ok() };
            match queue.recv_timeout(SYNC_AFTER.saturating_sub(since.elapsed())) {
                Ok(message) if since.elapsed() < SYNC_AFTER => return Some(message),
                Ok(message) => {
                    self.sync();
                    return Some(message);
                }
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Commits `jobs` together and answers them.
    fn commit(&mut self, durability: Durability, mut jobs: Vec<Box<dyn Job>>) {
        let mut again = true;
        while !jobs.is_empty() {
            match self.attempt(durability, &mut jobs) {
                Ok(Attempt::Done) => jobs.drain(..).for_each(|job| job.answer(Ok(()))),
                Ok(Attempt::Failed(index)) => jobs.remove(index).answer(Ok(())),
                Ok(Attempt::Refused(index)) => jobs.remove(index).answer(Err(StoreError::Full)),
                // Once more, on the room that was kept.
                Err(error @ StoreError::Commit(_)) if again && error.is_full() => {
                    again = false;
                    self.reserve.spend();
                    self.reopen();
                }
                Err(error) => {
                    tracing::error!(error = %dhow_proto::error::chain(&error), "metadata commit failed");
                    if matches!(error, StoreError::Commit(_)) {
                        self.reopen();
                    }
                    jobs.drain(..).for_each(|job| job.answer(Err(error.again())));
                }
            }
        }
    }

    /// Opens the file again, which refuses everything since a failure. What was answered is in it or in the journal.
    fn reopen(&mut self) {
        match self.database.reopen(&mut self.journal) {
            Ok(()) => {
                tracing::warn!("the metadata store was opened again");
                (self.unsynced, self.failed) = (None, false);
            }
            Err(_) if self.reserve.spend() => self.reopen(),
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    let error = dhow_proto::error::chain(&error);
                    tracing::error!(error, "cannot open the metadata store again yet");
                }
                self.unsynced = Some(Instant::now());
            }
        }
    }

    /// One transaction over all `jobs`.
    fn attempt(&mut self, durability: Durability, jobs: &mut [Box<dyn Job>]) -> Result<Attempt, StoreError> {
        let failed = |error: redb::Error| StoreError::Commit(Arc::new(error));
        if self.failed {
            self.reopen();
        }
        let only_removals = self.reserve.is_spent();
        let database = self.database.get()?;
        let mut write = database.begin_write().map_err(|error| failed(error.into()))?;
        let mut operations: Vec<Operation> = Vec::new();
        let mut sequence = None;
        {
            let table = write.open_table(TABLE).map_err(|error| failed(error.into()))?;
            let mut transaction = Transaction::new(table, &mut operations, &self.barrier);
            for (index, job) in jobs.iter_mut().enumerate() {
                let before = transaction.changes();
                let succeeded = job.run(&mut transaction);
                if transaction.changes() == before {
                    continue;
                }
                if !succeeded {
                    return Ok(Attempt::Failed(index));
                }
                if only_removals && !transaction.removed_since(before) {
                    return Ok(Attempt::Refused(index));
                }
            }
            if transaction.changes() > 0 && durability == Durability::Process {
                sequence = Some(advance(&mut transaction)?);
            }
        }
        if operations.is_empty() {
            return Ok(Attempt::Done);
        }
        let level = match durability {
            Durability::Process => redb::Durability::None,
            Durability::Disk => redb::Durability::Immediate,
        };
        write.set_durability(level).map_err(|error| failed(error.into()))?;
        let written = sequence.map(|sequence| self.journal.append(sequence, &operations)).transpose();
        let written = written.map_err(|error| StoreError::Journal(Arc::new(error)))?;
        if let Err(error) = write.commit() {
            if let Some(end) = written {
                drop(self.journal.retract(end));
            }
            return Err(failed(error.into()));
        }
        if written.is_some() {
            self.unsynced.get_or_insert_with(Instant::now);
        } else {
            self.synced();
        }
        self.barrier
            .add(operations.into_iter().filter(|change| change.value.is_some()).map(|change| change.key));
        Ok(Attempt::Done)
    }

    /// Syncs the commits that were not, if there are any.
    fn sync(&mut self) {
        if self.failed {
            return self.reopen();
        }
        if self.unsynced.is_none() {
            return;
        }
        let committed = self.database.get().and_then(|database| {
            let write = database.begin_write().map_err(redb::Error::from);
            let committed = write.and_then(|write| write.commit().map_err(redb::Error::from));
            committed.map_err(|error| StoreError::Commit(Arc::new(error)))
        });
        match committed {
            Ok(()) => self.synced(),
            Err(error) => {
                // The journal still holds them.
                tracing::error!(error = %dhow_proto::error::chain(&error), "metadata sync failed");
                self.reopen();
            }
        }
    }

    /// Everything is on disk: the journal has done its work.
    fn synced(&mut self) {
        if self.unsynced.take().is_some()
            && let Err(error) = self.journal.clear()
        {
            tracing::warn!(error = %dhow_proto::error::chain(&error), "cannot clear the metadata journal");
        }
    }
}

/// Counts this transaction in the store itself, so that a replay knows what it has seen.
fn advance(transaction: &mut Transaction<'_>) -> Result<u64, StoreError> {
    let mut meta = META.get(transaction, &[])?.unwrap_or_else(Meta::default);
    meta.sequence += 1;
    META.put(transaction, &[], &meta)?;
    Ok(meta.sequence)
}
