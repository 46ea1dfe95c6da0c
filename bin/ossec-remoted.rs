//! `ossec-remoted`; see `src/remoted`.

use std::process::ExitCode;

fn main() -> ExitCode {
    remoted::main()
}
