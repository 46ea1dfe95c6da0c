//! `ossec-control`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::control::main()
}
