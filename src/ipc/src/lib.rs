//! The two queues between daemons on one host, and the names of all sockets.
//!
//! 1. [`datagram`]: `queue/ossec/queue`, OSSEC's own. Anyone in the group may write; nothing is acknowledged.
//! 2. [`sender`] and [`receiver`]: `queue/ossec/events`, between our programs. Nothing is lost: what the consumer has not
//!    acknowledged the producer keeps, and sends again after a reconnect; the consumer knows what it has had.
//!
//! What happens when a peer is ...
//! - *full*: the consumer reads no further, the producer's window fills, and its [`Sender::offer`] says [`Full`]: a log
//!   file is the best buffer there is.
//! - *slow*: the same, for a while.
//! - *restarted*: the producer reconnects with a back-off and sends what was not acknowledged. The consumer keeps the
//!   highest number that has reached its end on disk ([`ended`]). A restarted producer is told that number, after all that
//!   it had sent before has reached its end, so that it can go on from there.
//! - *vanished*: the producer tries for ever and says so once (1210); its caller decides whether to give up (1211).

pub mod datagram;
pub mod ended;
pub mod paths;
pub mod receiver;
pub mod sender;

pub use ended::Ended;
pub use receiver::{Delivery, Receiver};
pub use sender::{Full, QueueError, Sender};
