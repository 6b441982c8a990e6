//! The one seam between asynchronous code and kernel work that blocks: file trees, hashing, syncs.

/// Runs `work` on a thread that may block, and waits for it without blocking this one.
///
/// # Panics
/// When `work` panics.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(failure) => match failure.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going away, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
