//! Taking back the steps of an action that failed half-way.

use std::future::Future;
use std::pin::Pin;

type Step = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The steps to take back, newest last.
///
/// Each step is pushed right after what it takes back was done; [`Undo::disarm`] ends a success. A step swallows and
/// logs its own failure: the others must still run.
#[derive(Default)]
pub(crate) struct Undo(Vec<Step>);

impl Undo {
    /// Remembers how to take the last action back.
    pub(crate) fn push(&mut self, step: impl Future<Output = ()> + Send + 'static) {
        self.0.push(Box::pin(step));
    }

    /// Takes everything back, the newest first.
    pub(crate) async fn run(mut self) {
        while let Some(step) = self.0.pop() {
            step.await;
        }
    }

    /// Keeps everything.
    pub(crate) fn disarm(mut self) {
        self.0.clear();
    }
}

impl std::fmt::Debug for Undo {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Undo({} steps)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn the_newest_step_is_taken_back_first() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut undo = Undo::default();
        for step in 1..=3 {
            let order = Arc::clone(&order);
            undo.push(async move { order.lock().unwrap().push(step) });
        }
        undo.run().await;
        assert_eq!(*order.lock().unwrap(), [3, 2, 1]);
    }
}
