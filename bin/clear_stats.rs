//! `clear_stats`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::clear_stats::main()
}
