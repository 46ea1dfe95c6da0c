//! `ossec-agentd`; see `src/agentd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    agentd::main()
}
