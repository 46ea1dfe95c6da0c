//! `ossec-logtest`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::logtest::main()
}
