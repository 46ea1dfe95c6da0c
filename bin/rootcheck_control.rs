//! `rootcheck_control`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::rootcheck_control::main()
}
