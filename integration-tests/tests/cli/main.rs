//! The CLI itself: what it says without a daemon, and that it drives a stock one like Docker's own.

mod errors;
mod stock;
