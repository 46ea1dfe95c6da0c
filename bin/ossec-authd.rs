//! `ossec-authd`; see `src/authd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    authd::main()
}
