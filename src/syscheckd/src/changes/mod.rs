//! What changed in a text file: the last content of each file of a `report_changes` entry is kept, and compared with the new one.
//!
//! Contents lie in `queue/diff/local`, compressed, one file for each watched file, named by a digest of its path; the folder is bounded,
//! and what changed longest ago makes room. Each file holds the content before as well: a change that has to be told again,
//! because the first telling was cut short by a crash, is told with the same lines.
//! Passwords and keys have no place here: what `<nodiff>` names is never kept.

mod kept;
mod store;

pub use store::{Limits, Store};
