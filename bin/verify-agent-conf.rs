//! `verify-agent-conf`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::verify_agent_conf::main()
}
