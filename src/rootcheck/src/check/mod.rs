//! The checks, each a module: what it looks for, and the sentences in which it tells.

pub(crate) mod audit;
pub(crate) mod dev;
pub(crate) mod files;
pub(crate) mod interfaces;
pub(crate) mod modules;
pub(crate) mod pids;
pub(crate) mod ports;
pub(crate) mod preload;
pub(crate) mod suid;
pub(crate) mod tree;
pub(crate) mod trojans;
