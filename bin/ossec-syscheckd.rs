//! `ossec-syscheckd`; see `src/syscheckd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    syscheckd::main()
}
