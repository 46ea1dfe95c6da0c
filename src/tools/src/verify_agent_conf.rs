//! `verify-agent-conf`: checks what a manager has for its agents, before they get it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::{complain, say};

const USAGE: &str = "\
verify-agent-conf: checks an agent.conf
  verify-agent-conf [-f FILE]
    -f FILE     The file; without it etc/shared/agent.conf
    -h          This help
Exit code 0: every block is sound.
";

/// The program.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let file = match words.as_slice() {
        [] => runtime::root::find(None).join(agents::central::AGENT_CONF),
        [option, file] if option == "-f" => PathBuf::from(file),
        [option] if option == "-h" => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => {
            complain(USAGE);
            return ExitCode::FAILURE;
        }
    };
    match verify(&file) {
        Ok(said) => {
            say(&said);
            ExitCode::SUCCESS
        }
        Err(said) => {
            complain(&said);
            ExitCode::FAILURE
        }
    }
}

/// What to say, a line for each finding.
fn verify(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let name = "verify-agent-conf";
    let text = fs::read(file)
        .map_err(|error| format!("{name}: '{shown}' could not be read: {error}\n"))?;
    match settings::check_agent_conf(&text, file) {
        Ok(warnings) => {
            let warnings = warnings.iter().map(|one| format!("{name}: WARN: {one}\n"));
            Ok(warnings.chain([format!("{name}: '{shown}' is sound.\n")]).collect())
        }
        Err(errors) => {
            Err(errors.into_iter().map(|one| format!("{name}: ERROR: {one}\n")).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.conf");
        let put = |text: &str| fs::write(&file, text).unwrap();
        assert!(verify(&file).unwrap_err().contains("could not be read"));
        put(
            "<agent_config name=\"web\">\n<syscheck><frequency>90</frequency></syscheck></agent_config>\n",
        );
        assert!(verify(&file).unwrap().ends_with("is sound.\n"));
        put(
            "<agent_config name=\"web\">\n<syscheck>\n<frequenzy>90</frequenzy></syscheck></agent_config>\n",
        );
        let said = verify(&file).unwrap_err();
        assert!(
            said.contains("(1230)") && said.contains("line 3") && said.contains("frequency"),
            "{said}"
        );
        put("<agent_config><client><port>1514</port></client></agent_config>");
        assert!(verify(&file).unwrap().contains("WARN: <client> has no effect in agent.conf."));
    }
}
