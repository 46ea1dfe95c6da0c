//! `syscheck_control`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::syscheck_control::main()
}
