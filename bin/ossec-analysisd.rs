//! `ossec-analysisd`; see `src/analysisd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    analysisd::main()
}
