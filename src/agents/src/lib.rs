//! What is known of agents on disk, shared by every program of the manager and, for its own entry, by an agent.
//!
//! ```text
//! etc/client.keys              001 web01 10.9.1.11 b36a57fe...      who they are           KeyStore, KeyFile, Table
//! queue/rids/001               6:128:                               what was received      Received
//! queue/rids/sender_counter    9:4096:                              what was sent          SendCounter
//! queue/agent-info/web01-any   Linux web01 ... - OSSEC HIDS v4.2.0  last sign of life      info
//! etc/shared/agent.conf        <agent_config name="web">...         what an agent adds         Central
//! queue/ossec/.agent_info      web01\n-\n001\n-\n                   an agent of itself     LocalInfo
//! ```
//! Formats as OSSEC 4.3.0 reads and writes them. Nothing here logs: errors say what, where and why, without a key.

pub mod address;
pub mod central;
pub mod counters;
pub mod identity;
pub mod info;
pub mod key;
pub mod keyfile;
pub mod local;
mod replace;
pub mod store;
pub mod table;
pub mod watch;

pub use address::Address;
pub use central::Central;
pub use counters::{Received, SendCounter};
pub use identity::{AgentId, AgentName};
pub use info::Status;
pub use key::Key;
pub use keyfile::{Agent, KeyFile};
pub use local::LocalInfo;
pub use store::KeyStore;
pub use table::Table;
pub use watch::{Diff, KeyWatch};
