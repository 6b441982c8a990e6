//! Images: names for content, and the ways of an image in and out.
//!
//! Owns: the records of images, what their documents say, and moving them: [`pull`] and [`push`] between registries
//! and the stores, [`archive`] between tar streams and the stores. Does not own: who asks for it
//! ([`crate::transfer`]).

pub(crate) mod archive;
mod layer;
pub(crate) mod manifest;
pub(crate) mod platform;
mod progress;
mod pull;
mod push;
pub(crate) mod store;
#[cfg(test)]
mod tests;
mod transport;
mod unpack;

pub(crate) use progress::{Progress, Update};
pub(crate) use pull::{Selection, Unpack};
pub(crate) use store::{IMAGES, Image, ImageError, Store};
pub(crate) use transport::{Transport, TransportError, unique};
