//! The program, for the tests of this crate (`tests/daemon.rs`).

use std::process::ExitCode;

fn main() -> ExitCode {
    execd::main()
}
