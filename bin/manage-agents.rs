//! `manage-agents`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::manage_agents::main()
}
