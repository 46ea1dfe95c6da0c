//! client.keys, agent-info and .agent_info: whatever is on disk is read, and what is read is written as it was read.

#![no_main]

use agents::{Agent, KeyFile, LocalInfo, Table};
use libfuzzer_sys::fuzz_target;
use wire::keepalive::AgentInfo;

fuzz_target!(|data: &[u8]| {
    let file = KeyFile::parse(data);
    let again = KeyFile::parse(&file.to_bytes());
    assert!(file.agents().eq(again.agents()));
    for agent in Table::new(&file, 1000).agents() {
        assert!(!agent.file_name().contains('/'));
        assert_eq!(Agent::parse(&agent.line()).as_ref(), Ok(&**agent));
    }
    for problem in file.problems() {
        let _ = problem.to_string();
    }
    let _ = (AgentInfo::parse(data), LocalInfo::parse(data));
});
