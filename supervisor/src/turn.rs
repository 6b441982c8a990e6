//! Taking turns: what two requests want at the same time is done once, and the second finds it done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

/// Locks by name, which exist while somebody holds or awaits them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<String, Weak<Lock<()>>>>>);

impl Turns {
    /// Waits until nobody else has `name`.
    pub(crate) async fn take(&self, name: String) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            match locks.get(&name).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(Lock::new(()));
                    locks.insert(name, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_only_for_the_same_name() {
        let turns = Turns::default();
        let first = turns.take("a".to_owned()).await;
        let _other = turns.take("b".to_owned()).await;
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { drop(turns.take("a".to_owned()).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.expect("no panic");
        assert_eq!(turns.0.lock().expect("no panic").len(), 2, "names are forgotten with the next turn");
        drop(turns.take("c".to_owned()).await);
        assert!(turns.0.lock().expect("no panic").len() <= 2);
    }
}
