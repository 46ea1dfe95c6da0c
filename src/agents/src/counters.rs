//! Replay counters on disk that never go backwards, whoever is killed when.
//!
//! ```text
//! queue/rids/sender_counter   9:4096:     no message above this number was ever sent
//! queue/rids/001              6:128:      what was received from (or, on an agent, by) 001
//! queue/rids/001.reset        (empty)     001 may begin anew once, see [`reset`]
//! queue/rids/.received        001 6:140:  what was received since: one line a message or more, in the order of arrival
//! ```
//! Files as OSSEC has them; `.received` is ours. No file is written per message:
//!
//! - The sender reserves a block of numbers on disk before it uses the first of them. After a kill it goes on behind the
//!   block; peers accept gaps.
//! - The receiver can't skip numbers, they are the peer's. It notes what it accepted in one journal, once a batch, *before*
//!   the batch's messages go any further. After a kill, file and journal together are exact.
//!
//! Deleting `queue/rids/<id>` while the daemon is down is the known way to reset an agent's counters: the journal counts only
//! for ids whose file is there.

mod received;
pub mod reset;
mod sent;

pub use received::Received;
pub use sent::{BLOCK, SendCounter};

/// Below the install root.
pub const RIDS: &str = "queue/rids";
