//! Enrolment: `ossec-authd` gives keys to agents over TLS, `agent-auth` asks for one.
//!
//! The manager's main thread ([`manager`]) accepts and sorts connections by what their address has done before
//! ([`limits`]); workers ([`server`]) hold one exchange each, bounded in time and size ([`stream`]), and add to client.keys
//! under its lock ([`enrol`], pure). [`agent_auth`] is the other end of the exchange.

pub mod agent_auth;
pub mod credentials;
pub mod enrol;
pub mod fingerprint;
pub mod limits;
pub mod manager;
pub mod options;
pub mod server;
pub mod stream;
pub mod tls;

use std::process::ExitCode;

/// `ossec-authd`.
pub fn main() -> ExitCode {
    manager::main()
}
