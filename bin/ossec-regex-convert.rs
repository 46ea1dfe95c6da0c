//! `ossec-regex-convert`; see `src/tools`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::ossec_regex::convert_main()
}
