//! Fixtures for tests, demo and benchmarks: hermetic hosts, private stacks and peers, images made on the spot.
//!
//! Nothing here links the insides of a binary: everything is driven through its command line, socket or bundle.
//! A fixture that is dropped tears down what it made and then looks for leaks ([`host::Host`]).

pub mod binaries;
pub mod bundle;
pub mod busybox;
pub mod client;
pub mod host;
pub mod image;
pub mod life;
pub mod needs;
pub mod peers;
pub mod process;
pub mod registry;
pub mod runtime;
pub mod shim;
pub mod stack;
pub mod steps;
pub mod supervisor;
pub mod terminal;
