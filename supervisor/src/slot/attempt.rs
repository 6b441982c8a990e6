//! An attempt to make what lives in a shim: all of it or nothing, also when the client goes before it has ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Departure, Key, Slots};

/// How long an attempt that its client has given up may go on before it is cut short: undoing something whole is
/// kinder than killing something half made.
const ABANDONED: Duration = Duration::from_millis(300);

/// What came of a [`Maker`]'s work.
type Brought<M> = Result<(Arc<<M as Maker>::Made>, <M as Maker>::Answer), <M as Maker>::Error>;

/// Makes things that have an id and live in a shim.
pub(crate) trait Maker: Clone + Send + Sync + 'static {
    /// What they are made from.
    type New: Send + Sync + 'static;
    type Made: Send + Sync + 'static;
    /// What the client is told.
    type Answer: Send + 'static;
    type Error: Send + 'static;

    /// The ids in use.
    fn slots(&self) -> &Slots<Self::Made>;

    /// Does the work; leaves nothing when it fails.
    fn bring_up(&self, key: &Key, new: &Self::New) -> impl Future<Output = Brought<Self>> + Send;

    /// Takes away what was made.
    fn undo(&self, made: &Self::Made, departure: &Departure) -> impl Future<Output = ()> + Send;

    /// Takes away what is there of something that may be half made.
    fn undo_unfinished(&self, key: &Key, departure: &Departure) -> impl Future<Output = ()> + Send;

    /// Looks after what is there now.
    fn keep(&self, key: &Key, made: Arc<Self::Made>);

    /// Frees an id under which nothing is left.
    fn free(&self, key: &Key);
}

/// Makes `new` under an id that is reserved; `None` when that was given up.
///
/// It goes on when the caller is dropped, and is then undone.
pub(crate) async fn attempt<M: Maker>(
    maker: &M,
    key: Key,
    new: M::New,
) -> Option<Result<M::Answer, M::Error>> {
    let (present, abandoned) = oneshot::channel();
    let attempt = tokio::spawn(run(maker.clone(), key.clone(), new, abandoned)).await;
    drop(present);
    attempt.unwrap_or_else(|failure| {
        maker.free(&key);
        match failure.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        }
    })
}

async fn run<M: Maker>(
    maker: M,
    key: Key,
    new: M::New,
    abandoned: oneshot::Receiver<()>,
) -> Option<Result<M::Answer, M::Error>> {
    let mut bringing = Box::pin(maker.bring_up(&key, &new));
    let brought = tokio::select! {
        brought = &mut bringing => brought,
        _ = abandoned => {
            tracing::info!(id = %key.1, "create was given up; undoing it");
            let departure = maker.slots().leave(&key);
            let finished = tokio::time::timeout(ABANDONED, &mut bringing).await;
            drop(bringing);
            match finished {
                Ok(Ok((made, _))) => maker.undo(&made, &departure).await,
                Ok(Err(_)) => {}
                Err(_) => maker.undo_unfinished(&key, &departure).await,
            }
            maker.free(&key);
            return None;
        }
    };
    drop(bringing);
    Some(match brought {
        Ok((made, answer)) => {
            maker.slots().ready(&key, Arc::clone(&made));
            maker.keep(&key, made);
            Ok(answer)
        }
        Err(error) => {
            maker.free(&key);
            Err(error)
        }
    })
}
