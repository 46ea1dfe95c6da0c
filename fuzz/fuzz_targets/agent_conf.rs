//! `agent.conf`, as a manager pushes it to its agents.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use settings::{AgentIdentity, LogFormat, Settings, check_agent_conf};

fuzz_target!(|bytes: &[u8]| {
    let agent = AgentIdentity {
        name: "web01".to_owned(),
        profile: Some("debian".to_owned()),
        system: "Linux web01".to_owned(),
    };
    let file = Path::new("agent.conf");
    let taken = Settings::default().with_agent_conf(bytes, file, &agent, false);
    if check_agent_conf(bytes, file).is_ok() {
        let settings = taken.as_ref().expect("what is right for all is right for one");
        let runs = |format| matches!(format, LogFormat::Command | LogFormat::FullCommand);
        assert!(!settings.localfiles.iter().any(|one| runs(one.format)), "commands");
    }
    if let Ok(settings) = taken {
        assert_eq!(settings.syscheck.prefilter_cmd, None);
        assert!(settings.client.servers.is_empty() && settings.responses.list.is_empty());
    }
});
