//! File integrity, pure: what a file looked like, how it differs now, and what is said about that.
//!
//! `syscheckd` sends `<sum> <path>[\n<notes and diff>]` ([`message`], [`note`]); the sum is `size:mode:uid:gid:md5:sha1[:sha256]` or `-1` for a
//! deleted file ([`sum`]). `analysisd` keeps the last sum of each path, compares ([`change`]) and writes the alert
//! text ([`report`]). Paths are bytes, made fit for one line by [`path`].
//! Formats: host-daemons specification 6.4, 6.7, 6.8.

pub mod change;
pub mod diff;
pub mod digest;
pub mod extra;
pub mod history;
pub mod maintenance;
pub mod message;
pub mod note;
pub mod path;
pub mod percent;
pub mod report;
pub mod sum;
pub mod who;

pub use message::Message;
pub use sum::{Attributes, Record, Sum};

#[cfg(test)]
mod hostile;
