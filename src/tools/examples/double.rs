//! A stand-in for tests of ossec-control, under many names: copied as `bin/ossec-control` it is the real one, copied under
//! any other name it is a daemon that does nothing, or what the file `etc/<name>.behaviour` below the root asks for:
//! `die` (exit status 3 before it is ready), `unwanted` (a good end before it is ready), `deaf` (ignores the wish to end),
//! `broken` (refuses its configuration).

use std::env;
use std::fs;
use std::process::ExitCode;

use runtime::{Failure, Privilege, Program, Signal, Start};

macro_rules! program {
    ($name:literal) => {
        &Program {
            name: $name,
            about: "a stand-in",
            debug_option: None,
            privilege: Privilege::Root { group: "ossec", keep: &[] },
        }
    };
}

static PROGRAMS: [&Program; 7] = [
    program!("ossec-execd"),
    program!("ossec-analysisd"),
    program!("ossec-logcollector"),
    program!("ossec-syscheckd"),
    program!("ossec-monitord"),
    program!("ossec-remoted"),
    program!("ossec-agentd"),
];

fn main() -> ExitCode {
    let own = own_name();
    match PROGRAMS.iter().find(|program| program.name == own) {
        Some(program) => runtime::main(program, run),
        None if own == "ossec-control" => tools::control::main(),
        // Never the control program under a daemon's name: it would start itself for ever.
        None => ExitCode::from(2),
    }
}

fn own_name() -> String {
    let program = env::current_exe().unwrap_or_default();
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn run(start: Start) -> Result<(), Failure> {
    let name = own_name();
    let asked = start.root().join(format!("etc/{name}.behaviour"));
    let behaviour = fs::read_to_string(asked).unwrap_or_default();
    if start.test_only() {
        return match behaviour.trim() {
            "broken" => {
                Err(Failure::new(Some(1202), "Configuration error at 'etc/ossec.conf'. Exiting."))
            }
            _ => Ok(()),
        };
    }
    let mut daemon = start.enter()?;
    match behaviour.trim() {
        "die" => return Err(Failure::new(None, "this daemon was told to die")),
        "unwanted" => return Ok(()),
        _ => {}
    }
    let accounts = [("received", 3), ("forwarded", 2), ("dropped_odd", 1), ("pending", 0)];
    let _ = daemon.write_state(&accounts);
    daemon.ready();
    let mut reloads = 0;
    loop {
        let _ = daemon.signals().wait(None);
        for signal in daemon.signals().take() {
            match signal {
                Signal::Stop(_) if behaviour.trim() == "deaf" => {}
                Signal::Stop(_) => return Ok(()),
                Signal::Reload => {
                    reloads += 1;
                    let _ = daemon.write_state(&[("reloads", reloads)]);
                }
                Signal::Child => {}
            }
        }
    }
}
