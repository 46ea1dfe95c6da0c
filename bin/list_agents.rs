//! `list_agents`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::list_agents::main()
}
