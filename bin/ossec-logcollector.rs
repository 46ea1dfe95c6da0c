//! `ossec-logcollector`; see `src/logcollector`.

use std::process::ExitCode;

fn main() -> ExitCode {
    logcollector::main()
}
