//! A daemon that tries, once confined, what it must not be able to do, and reports how that went.
//!
//! `tests/life.rs` runs it as a real process. `PROBE` chooses a variation: `root` stays root with one capability,
//! `program` may run two programs, `old-kernel` hides Landlock from itself, `panic` lets a thread panic.

use std::env;
use std::fs;
use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;

use runtime::{Capability, Failure, Privilege, Program, Sandbox, Signal, Start};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};

static AS_USER: Program = program(Privilege::User { user: "no-such-user", group: "no-such-group" });

static AS_ROOT: Program =
    program(Privilege::Root { group: "no-such-group", keep: &[Capability::DacReadSearch] });

const fn program(privilege: Privilege) -> Program {
    let about = "tries what it must not do";
    Program { name: "ossec-probe", about, debug_option: None, privilege }
}

fn main() -> ExitCode {
    if variation("old-kernel") {
        hide_landlock();
    }
    runtime::main(if variation("root") { &AS_ROOT } else { &AS_USER }, run)
}

fn run(start: Start) -> Result<(), Failure> {
    if start.test_only() {
        return Ok(());
    }
    let mut daemon = start.enter()?;
    daemon.require_writable(&["queue/probe"])?;
    let exec: &[&str] = if variation("program") { &["/bin/true", "/bin/sleep"] } else { &[] };
    daemon.confine(&Sandbox { write: &["queue/probe"], exec, ..Sandbox::default() })?;
    let folder = daemon.root().join("queue/probe");
    fs::write(folder.join("report"), report(daemon.root()))
        .map_err(|error| Failure::new(None, format!("report: {error}")))?;
    if variation("panic") {
        let _ = thread::spawn(|| panic!("on purpose")).join();
    }
    daemon
        .write_state(&[("received", 1), ("pending", 1)])
        .map_err(|error| Failure::new(None, format!("state: {error}")))?;
    daemon.ready();
    loop {
        let _ = daemon.signals().wait(None);
        for signal in daemon.signals().take() {
            match signal {
                Signal::Stop(_) => return Ok(()),
                Signal::Reload => log::info!("Reloaded."),
                Signal::Child => {}
            }
        }
    }
}

fn report(root: &Path) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tried = [
        ("root", root.display().to_string()),
        ("run a program", outcome(Command::new("/bin/true").status())),
        ("run another program", outcome(Command::new("/bin/ls").status())),
        ("end a program", outcome(end_a_program())),
        ("network socket", outcome(UdpSocket::bind("127.0.0.1:0"))),
        ("write outside", outcome(fs::write(root.join("etc/mark"), "x"))),
        ("read options", outcome(fs::read(root.join("etc/internal_options.conf")))),
        ("write inside", outcome(fs::write(root.join("queue/probe/mark"), "x"))),
        ("read /etc/passwd", outcome(fs::read("/etc/passwd"))),
        ("remove a log", outcome(fs::remove_file(root.join("logs/old.log")))),
    ];
    let tried: String = tried.iter().map(|(what, how)| format!("{what}: {how}\n")).collect();
    tried + &status
}

fn end_a_program() -> io::Result<()> {
    let mut child = Command::new("/bin/sleep").arg("1000").spawn()?;
    child.kill()?;
    child.wait().map(|_| ())
}

fn outcome<T>(tried: io::Result<T>) -> String {
    match tried {
        Ok(_) => "done".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn variation(name: &str) -> bool {
    env::var("PROBE").is_ok_and(|variations| variations.split(',').any(|one| one == name))
}

/// Makes the calls of Landlock answer as on a kernel that has none.
fn hide_landlock() {
    const CREATE_RULESET: i64 = 444;
    const ENOSYS: u32 = 38;
    let machine =
        TargetArch::try_from(env::consts::ARCH).expect("a machine that seccompiler knows");
    let rules = [(CREATE_RULESET, Vec::new())].into_iter().collect();
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(ENOSYS), machine)
            .expect("two different actions");
    let program: seccompiler::BpfProgram = filter.try_into().expect("a small filter");
    seccompiler::apply_filter(&program).expect("a kernel with seccomp");
}
