//! Netlink: messages, and a blocking socket that sends them in batches and reads the answers.
//!
//! One codec serves links, addresses and routes ([`super::link`]) and the firewall ([`super::firewall`]). A batch
//! is one `sendmsg`, so a sandbox is configured in two system calls; a client library would bring an async task
//! and a message at a time per namespace.

mod message;
mod socket;

pub(super) use self::message::{Attributes, Message, flag};
pub(super) use self::socket::{Family, NetlinkError, Socket};
