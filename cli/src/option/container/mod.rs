//! The flags that `run` and `create` share, and the request they make.

mod endpoint;
mod flags;
mod request;

pub(crate) use flags::ContainerOptions;
pub(crate) use request::build;

#[cfg(test)]
mod tests;
