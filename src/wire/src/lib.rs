//! The formats that travel between daemons and hosts; bytes in, values out, no socket here.
//!
//! | module    | what                                              | example                                |
//! |-----------|---------------------------------------------------|----------------------------------------|
//! | [`event`] | one datagram on `queue/ossec/queue`               | `1:/var/log/auth.log:sshd[9]: Failed …`|
//! | [`queue`] | the packets of the acknowledged queue             | hello, welcome, batch, acknowledgement |

pub mod event;
pub mod queue;

pub use event::{Event, EventError, Kind, MAX_EVENT};
