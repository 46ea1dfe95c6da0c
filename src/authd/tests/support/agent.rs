//! `agent-auth` as `bin/` ships it, for the process-level tests in the folder above.

use std::process::ExitCode;

fn main() -> ExitCode {
    authd::agent_auth::main()
}
