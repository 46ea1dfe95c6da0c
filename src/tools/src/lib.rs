//! The programs that people run: ossec-control, ossec-logtest and the small ones

pub mod agent_control;
mod agent_tools;
pub mod clear_stats;
pub mod control;
pub mod list_agents;
pub mod logtest;
pub mod makelists;
pub mod manage_agents;
pub mod ossec_regex;
pub mod rootcheck_control;
pub mod syscheck_control;
pub mod verify_agent_conf;

use std::io::{self, Write};

/// Prints to the terminal; there is nobody to tell when that fails.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Prints to stderr.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
