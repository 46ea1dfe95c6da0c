//! The alert value, its text and its JSON.
//!
//! One judged event becomes up to four lines of output, each rendered here into a byte buffer that the caller writes:
//!
//! | form | example |
//! |---|---|
//! | `alerts.log` record ([`text`]) | `** Alert 1700000000.1: mail  - syslog,sshd,` and the lines after it |
//! | `alerts.json` line ([`json`]) | `{"rule":{"level":5,...},"id":"1700000000.1",...}` |
//! | `archives.log`, `archives.json` line ([`text`], [`json`]) | `2023 Nov 14 22:13:20 host1->/var/log/auth.log Nov 14 ...` |
//! | `firewall.log` line ([`firewall`]) | `2023 Nov 14 22:14:09 fw->syslog DROP tcp 1.2.3.4:1234->5.6.7.8:80` |
//!
//! [`response`] makes the messages that start an active response, [`read`] reads `alerts.log` back. Everything is
//! borrowed bytes: log lines need not be UTF-8. No file, no clock: the shell fills in [`Moment`].
//! Forms: observed from OSSEC 4.3.

pub mod firewall;
pub mod json;
pub mod moment;
pub mod read;
pub mod response;
pub mod text;
mod value;

pub use json::write_alert as write_json;
pub use moment::Moment;
pub use text::write_alert as write_text;
pub use value::{Alert, AlertId, Decoder, Event, FileFacts, FileState, Origin, Rule};
