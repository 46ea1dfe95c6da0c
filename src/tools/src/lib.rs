//! The programs that people run: ossec-control, ossec-logtest and the small ones

pub mod clear_stats;
pub mod control;
pub mod logtest;
pub mod makelists;
pub mod ossec_regex;

use std::io::{self, Write};

/// Prints to the terminal; there is nobody to tell when that fails.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Prints to stderr.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
