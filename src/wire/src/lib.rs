//! The formats that travel between daemons and hosts; bytes in, values out, no socket here.
//!
//! | module      | what                                                | example                                |
//! |-------------|-----------------------------------------------------|----------------------------------------|
//! | [`event`]   | one datagram on `queue/ossec/queue`                 | `1:/var/log/auth.log:sshd[9]: Failed …`|
//! | [`queue`]   | the packets of the acknowledged queue               | hello, welcome, batch, acknowledgement |
//! | [`key`]     | an agent's ciphers, made once from its key          | `001 web01 any 7f2a…`                  |
//! | [`datagram`]| what is in clear around a sealed message            | `!001!#AES:…`                          |
//! | [`sealed`]  | sealing and opening of one message                  | `!!!` zlib, MD5, counters, message     |
//! | [`counter`] | numbering, and refusal of what was seen before      | `6:128:`                               |
//! | [`control`] | messages that begin with `#!-`                      | `#!-agent startup `                    |
//! | [`keepalive`]| what an agent tells about itself                   | `Linux web01 6.1 … / 5aa0…`            |
//! | [`shared`]  | one pushed file, sent and assembled                 | `#!-up file 72493a… merged.mg`         |
//! | [`merged`]  | many shared files in one                            | `!72 ar.conf`                          |
//! | [`response`]| what remoted is asked to send to agents             | `(web01) any->/x NRN (null) ban600 …`  |
//! | [`forward`] | an agent's event on its way to analysisd            | `1:(web01) any->/var/log/x:hi`         |
//! | [`enroll`]  | question and answer of enrolment                    | `OSSEC A:'web01'`                      |
//! | [`ours`]    | between our agents and our manager only             | `#!-oxsec prove 00ff…`                 |
//! | [`syslog`]  | syslog from the network: framing, priority          | `<13>Nov 21 10:00:00 h p[1]: hi`       |

pub mod control;
pub mod counter;
pub mod datagram;
pub mod digest;
pub mod enroll;
pub mod event;
pub mod forward;
pub mod keepalive;
pub mod key;
pub mod merged;
pub mod ours;
pub mod queue;
pub mod response;
pub mod sealed;
pub mod shared;
pub mod syslog;

pub use event::{Event, EventError, Kind, MAX_EVENT};

#[cfg(test)]
mod golden;
