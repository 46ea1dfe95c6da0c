//! Maintenance of a host: its changes are accepted silently, counted, and the next whole scan ends it.

use std::fs;

use crate::harness::Suite;

const CONF: &str = "<ossec_config>
  {rules}
  <syscheck>
    <frequency>3600</frequency>
    <alert_new_files>yes</alert_new_files>
    <directories check_all=\"yes\" realtime=\"yes\">{watched}</directories>
  </syscheck>
</ossec_config>
";

#[test]
fn patching_in_maintenance_alerts_nobody_and_the_change_after_it_does() {
    let suite = Suite::new(CONF);
    let file = suite.watched().join("passwd");
    fs::write(&file, "one").expect("write");
    suite.start();
    suite.until("the baseline", || suite.root().join("queue/syscheck/.syscheck.cpt").exists());
    suite.until("realtime", || suite.log().contains("Real time file monitoring started."));
    let maintain = |action: &str| -> String {
        let output = suite
            .program("agent_control")
            .args(["-M", action, "-u", "000"])
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{action}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };

    maintain("enable");
    fs::write(&file, "three").expect("write");
    suite.until("the count", || maintain("status").contains("silent_updates=1"));
    let noted = fs::read_to_string(suite.root().join("logs/fim_maintenance.log"))
        .expect("the maintenance log");
    assert!(noted.trim_end().ends_with(&format!("syscheck modify {}", file.display())), "{noted}");

    maintain("end");
    suite.until("the end", || {
        suite.log().contains("Syscheck maintenance mode ended for 'syscheck' after baseline scan.")
    });
    assert!(maintain("status").contains("FIM maintenance mode: disabled"));
    assert_eq!(suite.count(550), 0, "{}", suite.alerts());

    fs::write(&file, "fiftyfive").expect("write");
    suite.until_alert(550, "Size changed from '5' to '9'");
}
