//! `ossec-makelists`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::makelists::main()
}
