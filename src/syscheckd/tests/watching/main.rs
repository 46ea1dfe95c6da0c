//! A tree that changes, watched by the real parts (worker, realtime events, baseline, queue), and a manager that writes down what it is told.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is the report, and seeds are told"
)]

mod bench;
mod growing;
mod killed;
mod ledger;
mod model;
mod operations;
mod prefilter;
mod realtime;
mod scans;
