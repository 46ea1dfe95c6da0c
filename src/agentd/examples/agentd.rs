//! The daemon alone, for the process tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    agentd::main()
}
