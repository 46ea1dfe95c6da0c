//! `ossec-regex`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::ossec_regex::main()
}
