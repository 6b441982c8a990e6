//! Images: names for content.

pub(crate) mod store;

pub(crate) use store::{IMAGES, Image, ImageError, Store};
