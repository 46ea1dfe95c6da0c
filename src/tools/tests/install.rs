//! install.sh from outside, with stand-ins for the programs (`examples/double.rs`): staging as anybody, and a real install,
//! upgrade and removal as root, in a mount namespace of its own where `/etc` is a copy and `/opt` is empty.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic in a test is the report, and a skip is said"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// All that we ship: one file in `bin/` each.
fn shipped() -> Vec<String> {
    let files = fs::read_dir(project().join("bin")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned())).collect()
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A folder with a stand-in for each program.
fn programs() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let test = std::env::current_exe().unwrap();
    let double = test.parent().unwrap().parent().unwrap().join("examples/double");
    for name in shipped() {
        let program = folder.path().join(&name);
        fs::hard_link(&double, &program)
            .or_else(|_| fs::copy(&double, &program).map(drop))
            .unwrap();
    }
    folder
}

fn install(programs: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.arg(project().join("install.sh")).arg("--bin-dir").arg(programs).args(arguments);
    // Nothing of this host's own answers.
    command.args(["--preloaded", "/nonexistent"]).output().unwrap()
}

fn stage(programs: &Path, root: &Path) {
    let output = install(programs, &["--type", "local", "--stage", root.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_staged_root_has_every_folder_of_the_manifest_and_is_the_callers() {
    let (programs, folder) = (programs(), tempfile::tempdir().unwrap());
    let root = folder.path().join("root");
    stage(programs.path(), &root);
    let manifest = fs::read_to_string(project().join("queue/manifest")).unwrap();
    let own = fs::metadata(folder.path()).unwrap().uid();
    let mut wrong = Vec::new();
    for line in manifest.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [path, "dir", mode, _, _, on, ..] = words.as_slice() else { continue };
        if *on == "agent" {
            continue;
        }
        let Ok(facts) = fs::metadata(root.join(path)) else {
            wrong.push(format!("{path} is missing"));
            continue;
        };
        let expected = u32::from_str_radix(mode, 8).unwrap() | 0o700;
        if facts.permissions().mode() & 0o7777 != expected || facts.uid() != own {
            wrong.push(format!(
                "{path}: mode {:o}, owner {}",
                facts.permissions().mode(),
                facts.uid()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for file in [
        "bin/ossec-control",
        "active-response/bin/host-deny.sh",
        "etc/decoder.xml",
        "rules/local_rules.xml",
    ] {
        assert!(root.join(file).exists(), "{file}");
    }
    let written = fs::read_to_string(root.join("etc/ossec-init.conf")).unwrap();
    assert!(
        written.starts_with(&format!("DIRECTORY=\"{}\"\nVERSION=\"v", root.display())),
        "{written}"
    );
    assert!(written.ends_with("TYPE=\"local\"\n"), "{written}");
}

#[test]
fn staging_again_keeps_what_the_administrator_has_written() {
    let (programs, folder) = (programs(), tempfile::tempdir().unwrap());
    let root = folder.path().join("root");
    stage(programs.path(), &root);
    let mine = [
        "etc/ossec.conf",
        "rules/local_rules.xml",
        "etc/client.keys",
        "etc/local_internal_options.conf",
    ];
    for file in mine {
        fs::write(root.join(file), "mine").unwrap();
    }
    fs::write(root.join("rules/sshd_rules.xml"), "old").unwrap();
    fs::write(root.join("etc/internal_options.conf"), "old").unwrap();
    stage(programs.path(), &root);
    for file in mine {
        assert_eq!(fs::read_to_string(root.join(file)).unwrap(), "mine", "{file}");
    }
    assert_ne!(fs::read_to_string(root.join("rules/sshd_rules.xml")).unwrap(), "old");
    assert_eq!(fs::read_to_string(root.join("etc/internal_options.conf~")).unwrap(), "old");
    let saved: Vec<_> =
        fs::read_dir(root.join("backup")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(fs::read_to_string(saved[0].join("sshd_rules.xml")).unwrap(), "old");
}

#[test]
fn an_agent_gets_its_manager_its_spool_and_no_rules() {
    let (programs, folder) = (programs(), tempfile::tempdir().unwrap());
    for (manager, element) in [
        ("10.9.0.1", "<server-ip>10.9.0.1</server-ip>"),
        ("2001:db8::1", "<server-ip>2001:db8::1</server-ip>"),
        ("ids.example.org", "<server-hostname>ids.example.org</server-hostname>"),
    ] {
        let root = folder.path().join(manager);
        let stage = root.to_str().unwrap();
        let arguments = ["--type", "agent", "--manager", manager, "--stage", stage];
        let output = install(programs.path(), &arguments);
        assert!(output.status.success(), "{output:?}");
        let conf = fs::read_to_string(root.join("etc/ossec.conf")).unwrap();
        assert!(conf.contains(element) && !conf.contains("192.0.2.10"), "{conf}");
        assert!(root.join("queue/spool").is_dir() && root.join("bin/ossec-agentd").exists());
        for missing in ["rules", "logs/alerts", "etc/decoder.xml", "bin/ossec-analysisd"] {
            assert!(!root.join(missing).exists(), "{missing}");
        }
    }
}

#[test]
fn wrong_answers_are_refused_before_anything_is_done() {
    let programs = programs();
    for (arguments, why) in [
        (&["--type", "agent", "--stage", "/nonexistent/x"][..], "an agent needs its manager"),
        (&["--frobnicate"], "unknown option '--frobnicate'"),
    ] {
        let output = install(programs.path(), arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(stderr.contains(why), "{arguments:?}: {stderr}");
    }
}

/// Runs a script of shell with `$bin` (the programs) and `$project` set, where `/etc` is a copy and `/opt` is empty; `None` where
/// that is not possible.
fn as_root_apart(script: &str) -> Option<String> {
    let apart = |script: &str| Command::new("unshare").args(["-m", "sh", "-euc", script]).output();
    if !apart("mount -t tmpfs none /mnt").is_ok_and(|output| output.status.success()) {
        println!("skipped: needs root and a mount namespace");
        return None;
    }
    let programs = programs();
    let prelude = format!(
        "mount -t tmpfs none /mnt; cp -a /etc /mnt/etc; mount --bind /mnt/etc /etc; mount -t tmpfs none /opt
         unset OXSEC_ROOT OXSEC_STAY_USER NOTIFY_SOCKET; bin='{}'; project='{}'
         flags=\"--unattended --preloaded /nonexistent --bin-dir $bin --unit-dir /opt/units --init-dir /opt/init\"
         mkdir /opt/units\n",
        programs.path().display(),
        project().display()
    );
    let output = apart(&(prelude + script)).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    Some(said)
}

#[test]
fn a_real_install_runs_is_upgraded_and_removed() {
    let said = as_root_apart(
        r#"
        sh "$project/install.sh" $flags --type local --dir /opt/x/ossec --allow 192.0.2.1
        stat -c '%n %a %U:%G' /opt/x/ossec /opt/x/ossec/bin /opt/x/ossec/bin/ossec-execd /opt/x/ossec/logs/ossec.log \
            /opt/x/ossec/etc/ossec.conf /opt/x/ossec/queue/alerts /opt/x/ossec/active-response/bin/host-deny.sh /etc/ossec-init.conf
        grep -c 192.0.2.1 /opt/x/ossec/etc/ossec.conf
        grep ExecStart= /opt/units/ossec-hids.service
        /opt/x/ossec/bin/ossec-control status
        echo '<!-- mine -->' >>/opt/x/ossec/etc/ossec.conf
        echo '== upgrade'
        sh "$project/install.sh" $flags
        tail -n 1 /opt/x/ossec/etc/ossec.conf
        /opt/x/ossec/bin/ossec-control status
        echo '== removal'
        sh "$project/install.sh" $flags --uninstall
        ls /opt/units /opt/x/ossec/bin; test ! -e /etc/ossec-init.conf; test -e /opt/x/ossec/etc/ossec.conf
        sh "$project/install.sh" $flags --uninstall --purge --dir /opt/x/ossec
        test ! -e /opt/x/ossec; ! id ossec 2>/dev/null
        "#,
    );
    let Some(said) = said else { return };
    for line in [
        "/opt/x/ossec 550 root:ossec",
        "/opt/x/ossec/bin 550 root:root",
        "/opt/x/ossec/bin/ossec-execd 550 root:root",
        "/opt/x/ossec/logs/ossec.log 660 ossec:ossec",
        "/opt/x/ossec/etc/ossec.conf 640 root:ossec",
        "/opt/x/ossec/queue/alerts 770 ossec:ossec",
        "/opt/x/ossec/active-response/bin/host-deny.sh 550 root:ossec",
        "/etc/ossec-init.conf 600 root:root",
        "ExecStart=/opt/x/ossec/bin/ossec-control start --foreground",
        "<!-- mine -->",
    ] {
        assert!(said.lines().any(|said| said == line), "no '{line}' in:\n{said}");
    }
    assert_eq!(said.matches("is running...").count(), 10, "{said}");
}

#[test]
fn without_systemd_an_init_script_is_written() {
    let said = as_root_apart(
        r#"
        rmdir /opt/units; mkdir /opt/init
        sh "$project/install.sh" $flags --type local --dir /opt/ossec --no-start
        sh /opt/init/ossec-hids status || echo "status $?"
        sh /opt/init/ossec-hids start
        sh /opt/init/ossec-hids stop
        "#,
    );
    let Some(said) = said else { return };
    assert!(said.contains("ossec-execd not running...\nstatus 1\n"), "{said}");
    assert!(said.contains("Started ossec-monitord...\nCompleted.\n"), "{said}");
}

#[test]
fn the_answers_of_a_person_and_the_variables_of_old_are_heard() {
    let said = as_root_apart(
        r#"
        # type, where, mail, address, smtp, syscheck, responses
        printf '%s\n' '' /opt/a-b yes 'me&you@example.net' '' no no |
            sh "$project/install.sh" --preloaded /nonexistent --bin-dir "$bin" --unit-dir /opt/units --no-start >/opt/said
        grep -o 'Where \[[^]]*\]' /opt/said
        sed -n '/email_to/p; /<syscheck>/,/disabled/p; /<active-response>/,$p' /opt/a-b/etc/ossec.conf
        cat >/opt/vars <<VARS
USER_INSTALL_TYPE=server
USER_DIR=/opt/ossec-two
USER_NO_STOP=y
USER_ENABLE_FIREWALL_RESPONSE=y
USER_WHITE_LIST="192.0.2.7 192.0.2.8"
VARS
        sh "$project/install.sh" --preloaded /opt/vars --bin-dir "$bin" --unit-dir /opt/units --no-start
        grep -c '<allow_list>192.0.2' /opt/ossec-two/etc/ossec.conf
        sed -n '/^  <active-response>/,$p' /opt/ossec-two/etc/ossec.conf
        cat /opt/ossec-two/etc/ossec-init.conf
        "#,
    );
    let Some(said) = said else { return };
    assert!(said.contains("Where [/var/ossec]"), "{said}");
    assert!(said.contains("<email_to>me&amp;you@example.net</email_to>"), "{said}");
    assert!(said.contains("<syscheck>\n    <disabled>yes</disabled>"), "{said}");
    assert!(said.contains("<active-response>\n    <disabled>yes</disabled>\n"), "{said}");
    assert!(said.contains("TYPE=\"server\""), "{said}");
    assert!(
        said.contains("\n2\n  <active-response>\n    <command>firewall-drop</command>\n"),
        "{said}"
    );
}
