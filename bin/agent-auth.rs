//! `agent-auth`; see `src/authd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    authd::agent_auth::main()
}
