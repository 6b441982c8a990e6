//! Progress of moving an image: what is being done to each of its parts, as it happens.
//!
//! The events and their order are containerd's (`waiting`, `downloading`, `complete`, `extracting`, `extracted`,
//! `already exists`, `uploading`), since its clients match on the words.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::manifest::Descriptor;

/// How often at most the position of one part is told.
const INTERVAL: Duration = Duration::from_millis(100);

/// One message of progress.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Update {
    /// What happens.
    pub(crate) event: String,
    /// To which part; empty for the whole.
    pub(crate) name: String,
    /// The parts above it.
    pub(crate) parents: Vec<String>,
    /// How much is done.
    pub(crate) progress: u64,
    /// Of how much.
    pub(crate) total: u64,
    /// The part itself.
    pub(crate) descriptor: Option<Descriptor>,
}

/// Where progress goes: to whoever asked for it, or nowhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Option<UnboundedSender<Update>>);

impl Progress {
    /// Progress that goes to `sender`.
    pub(crate) fn to(sender: UnboundedSender<Update>) -> Self {
        Self(Some(sender))
    }

    /// Something about the whole.
    pub(crate) fn event(&self, event: impl Into<String>) {
        self.tell(event.into(), String::new(), None);
    }

    /// Something about the image called `name`.
    pub(crate) fn image(&self, event: &str, name: &str, descriptor: &Descriptor) {
        self.tell(event.to_owned(), name.to_owned(), Some(descriptor.clone()));
    }

    fn tell(&self, event: String, name: String, descriptor: Option<Descriptor>) {
        self.send(Update { event, name, parents: Vec::new(), progress: 0, total: 0, descriptor });
    }

    /// Begins to tell about one part, below `parents`: it waits.
    pub(crate) fn part(&self, descriptor: &Descriptor, parents: Vec<String>) -> Part {
        let part = Part(Arc::new(Inner {
            progress: self.clone(),
            name: descriptor.reference_key(),
            parents,
            descriptor: descriptor.clone(),
            told: Mutex::new(None),
            position: AtomicU64::new(0),
            arrived: AtomicBool::new(false),
            existed: AtomicBool::new(false),
        }));
        part.0.tell("waiting", 0);
        part
    }

    fn send(&self, update: Update) {
        if let Some(sender) = &self.0 {
            // Nobody listens any more: the work goes on.
            drop(sender.send(update));
        }
    }
}

/// The progress of one part; clones tell about the same.
#[derive(Debug, Clone)]
pub(crate) struct Part(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    progress: Progress,
    name: String,
    parents: Vec<String>,
    descriptor: Descriptor,
    /// When the position was told last.
    told: Mutex<Option<Instant>>,
    position: AtomicU64,
    /// Whether all bytes have come: from then on it is unpacking that takes time.
    arrived: AtomicBool,
    /// Whether there was nothing to do.
    existed: AtomicBool,
}

impl Part {
    /// `position` bytes have come.
    pub(crate) fn downloading(&self, position: u64) {
        self.0.position.store(position, Ordering::Relaxed);
        self.0.now_and_then("downloading", position);
    }

    /// `more` bytes are on their way out.
    pub(crate) fn uploading(&self, more: u64) {
        let position = self.0.position.fetch_add(more, Ordering::Relaxed) + more;
        self.0.now_and_then("uploading", position);
    }

    /// All bytes have come, or gone.
    pub(crate) fn complete(&self) {
        self.0.arrived.store(true, Ordering::Relaxed);
        self.0.tell("complete", self.0.descriptor.size);
    }

    /// Nothing needs to be done.
    pub(crate) fn exists(&self) {
        self.0.existed.store(true, Ordering::Relaxed);
        self.0.tell("already exists", self.0.descriptor.size);
    }

    /// The first `position` bytes are unpacked. Told once all have come: before, it goes on beside the download.
    pub(crate) fn extracting(&self, position: u64) {
        if self.0.arrived.load(Ordering::Relaxed) {
            self.0.now_and_then("extracting", position);
        }
    }

    /// It is unpacked, and stays. Not told of what existed already.
    pub(crate) fn extracted(&self) {
        if !self.0.existed.load(Ordering::Relaxed) {
            self.0.tell("extracted", self.0.descriptor.size);
        }
    }
}

impl Inner {
    fn now_and_then(&self, event: &str, position: u64) {
        if self.progress.0.is_none() {
            return;
        }
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_some_and(|told| told.elapsed() < INTERVAL) {
                return;
            }
            *told = Some(Instant::now());
        }
        self.tell(event, position);
    }

    fn tell(&self, event: &str, progress: u64) {
        self.progress.send(Update {
            event: event.to_owned(),
            name: self.name.clone(),
            parents: self.parents.clone(),
            progress,
            total: self.descriptor.size,
            descriptor: Some(self.descriptor.clone()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_told_now_and_then_and_states_always() {
        let (sender, mut updates) = tokio::sync::mpsc::unbounded_channel();
        let progress = Progress::to(sender);
        let descriptor = Descriptor { size: 9, digest: "sha256:1".to_owned(), ..Descriptor::default() };
        let part = progress.part(&descriptor, vec!["root".to_owned()]);
        for position in 0..100 {
            part.downloading(position);
        }
        part.complete();
        part.extracted();
        let mut events = Vec::new();
        while let Ok(update) = updates.try_recv() {
            assert_eq!((update.total, update.parents.as_slice()), (9, ["root".to_owned()].as_slice()));
            events.push(update.event);
        }
        assert_eq!(events.first().map(String::as_str), Some("waiting"));
        assert_eq!(events[events.len() - 2..], ["complete", "extracted"]);
        assert!(events.len() < 50, "{events:?}");
    }
}
