//! `agent_control`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::agent_control::main()
}
