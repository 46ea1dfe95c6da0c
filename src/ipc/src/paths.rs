//! Sockets and state of the queues, relative to the install root. `queue/manifest` lists them with modes and owners;
//! `tests/architecture.rs` compares the two.

/// OSSEC's datagram queue.
pub const QUEUE: &str = "queue/ossec/queue";
/// The acknowledged queue.
pub const EVENTS: &str = "queue/ossec/events";
/// What has reached its end, for each producer.
pub const ENDED: &str = "queue/ossec/ended";
/// Responses for the local execd.
pub const EXECQ: &str = "queue/alerts/execq";
/// Requests to agents, for remoted.
pub const AR: &str = "queue/alerts/ar";

/// Requests to syscheckd: a scan, a pause, what the manager asks.
pub const SYSCHECK_CONTROL: &str = "queue/syscheckd/control";

/// Mode of every socket: its user and group may write.
pub const SOCKET_MODE: u32 = 0o660;
