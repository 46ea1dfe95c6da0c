//! Input of those who mean harm, or do not care.

use std::os::unix::net::UnixDatagram;

use crate::harness::{Suite, append};

const CONF: &str = "<ossec_config>
  <global><logall>yes</logall></global>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/app.log</location></localfile>
</ossec_config>
";

#[test]
fn odd_lines_and_garbage_in_the_queues_stop_nothing() {
    let suite = Suite::new(CONF);
    let log = suite.watched().join("app.log");
    append(&log, b"");
    suite.start();
    let pid = suite.pid("ossec-analysisd");

    append(&log, b"first\nnul \0 inside\n\xff\xfe\x80 not text\n");
    // No two parts are alike: a line that repeats one of the last three is swallowed.
    let mut long: Vec<u8> = (0..1 << 17).flat_map(|n| format!("{n:07}x").into_bytes()).collect();
    long.extend_from_slice(b" end of the long line\n");
    append(&log, &long);
    let queue = UnixDatagram::unbound().expect("a socket");
    let to = suite.root().join(ipc::paths::QUEUE);
    for garbage in [
        &b""[..],
        b"\0",
        b"1",
        b"1:",
        b"1:../../etc/passwd:x",
        b"no colon at all",
        b"8:syscheck:garbage",
        b"8:..:1:2:3 /x",
        b"9:rootcheck:",
        b"3:x:y",
    ] {
        queue.send_to(garbage, &to).expect("the queue takes it");
    }
    append(&log, b"last\n");
    suite.until("the last line", || suite.read("logs/archives/archives.log").contains(" last\n"));
    let archives = suite.read("logs/archives/archives.log");
    assert!(archives.contains(" first\n"), "{archives:.300}");
    assert!(archives.contains("nul "), "the line with a NUL arrived");
    assert!(archives.contains("end of the long line\n"), "the end of the long line arrived");
    assert!(archives.matches('x').count() >= 1 << 17, "no byte of the long line is missing");
    assert_eq!(suite.pid("ossec-analysisd"), pid, "analysisd was not restarted");
    suite.stop();
    suite.assert_balanced("ossec-analysisd");
    assert!(suite.account("ossec-analysisd", "dropped_invalid") >= 5);
}

#[test]
fn a_broken_configuration_is_named_and_nothing_starts() {
    let suite =
        Suite::new("<ossec_config>\n<global>\n<logal>yes</logal>\n</global>\n</ossec_config>\n");
    let output = suite.control(&["start"]);
    let said = crate::harness::text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("line 3") && said.contains("logall"),
        "names the line and the nearest option: {said}"
    );
    assert_eq!(suite.pid("ossec-analysisd"), None);
}
