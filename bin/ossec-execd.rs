//! `ossec-execd`; see `src/execd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    execd::main()
}
