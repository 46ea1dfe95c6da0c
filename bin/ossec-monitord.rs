//! `ossec-monitord`; see `src/monitord`.

use std::process::ExitCode;

fn main() -> ExitCode {
    monitord::main()
}
