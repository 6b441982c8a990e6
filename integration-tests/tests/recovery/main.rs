//! `kill -9` of any daemon at any time: containers go on, no line and no exit code is lost.

mod daemons;
mod fleet;
mod tasks;
