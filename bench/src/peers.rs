//! Other tools at the same work: AIDE and samhain, where they are installed. They have the same core, the same digests and a configuration
//! of their own in a temporary folder.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::write;
use crate::scan::{Figures, Round};

/// A tool that is run once to make its database and once to compare.
pub struct Peer {
    pub name: &'static str,
    program: &'static str,
    command: fn(&Path, &Round<'_>, Pass) -> Command,
    takes: fn(&Round<'_>) -> bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    First,
    Check,
}

const PEERS: [Peer; 2] = [
    Peer { name: "AIDE", program: "/usr/bin/aide", command: aide, takes: |_| true },
    Peer {
        name: "samhain",
        program: "/usr/sbin/samhain",
        command: samhain,
        // It has one digest, and one thread.
        takes: |round| !round.all_digests && round.cores == "0",
    },
];

/// Those that are here and can do it.
pub fn for_round(round: &Round<'_>) -> Vec<&'static Peer> {
    PEERS.iter().filter(|peer| Path::new(peer.program).exists() && (peer.takes)(round)).collect()
}

impl Peer {
    /// `None` when it fails.
    pub fn measure(&self, folder: &Path, round: &Round<'_>, pass: Pass) -> Option<Figures> {
        fs::create_dir_all(folder).ok()?;
        let mut command = (self.command)(folder, round, pass);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (used, start) = (cpu_of_children(), Instant::now());
        let mut child = command.spawn().ok()?;
        let mut peak_kib = 0;
        let status = loop {
            peak_kib = peak_kib.max(peak_of(&child));
            match child.try_wait().ok()? {
                Some(status) => break status,
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let wall = start.elapsed().as_secs_f64();
        let cpu = cpu_of_children() - used;
        let database =
            fs::metadata(folder.join("new")).or_else(|_| fs::metadata(folder.join("old")));
        if pass == Pass::First {
            fs::rename(folder.join("new"), folder.join("old")).ok()?;
        }
        let database = database.ok()?.blocks() * 512;
        // A check that finds a difference says so by its status; a first run has nothing to find.
        let failed = pass == Pass::First && !status.success();
        (!failed).then_some(Figures { wall, cpu, peak_mib: peak_kib as f64 / 1024.0, database })
    }
}

fn aide(folder: &Path, round: &Round<'_>, pass: Pass) -> Command {
    let (here, tree) = (folder.display(), round.tree.folder.display());
    let digests = if round.all_digests { "md5+sha1+sha256" } else { "sha256" };
    let conf = format!(
        "database_in=file:{here}/old\ndatabase_out=file:{here}/new\ngzip_dbout=no\nnum_workers={}\n\
         {tree} p+u+g+s+{digests}\n",
        round.cores.split(',').count()
    );
    write(&folder.join("conf"), &conf);
    let mut command = Command::new("taskset");
    command.args(["-c", round.cores, "aide", "--config"]).arg(folder.join("conf"));
    command.arg(if pass == Pass::First { "--init" } else { "--check" });
    command
}

/// The path of its configuration is built in, so that ours is laid over it for this process alone.
fn samhain(folder: &Path, round: &Round<'_>, pass: Pass) -> Command {
    let (here, tree) = (folder.display(), round.tree.folder.display());
    let database = if pass == Pass::First { "new" } else { "old" };
    let conf = format!(
        "[ReadOnly]\ndir=99{tree}\n[Log]\nMailSeverity=none\nPrintSeverity=none\nLogSeverity=none\n\
         SyslogSeverity=none\n[Misc]\nDaemon=no\nDigestAlgo=SHA256\nSetDatabasePath={here}/{database}\n\
         SetLogfilePath={here}/log\nSetLockfilePath={here}/lock\n[EOF]\n"
    );
    write(&folder.join("conf"), &conf);
    let test = if pass == Pass::First { "init" } else { "check" };
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]).arg(format!(
        "mount --bind {here}/conf /etc/samhain/samhainrc && exec taskset -c {} samhain -t {test} --foreground",
        round.cores
    ));
    command
}

fn peak_of(child: &Child) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Processor time in seconds of those that have ended (proc(5): `cutime` and `cstime`, in hundredths).
fn cpu_of_children() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks =
        behind.split_whitespace().skip(13).take(2).filter_map(|text| text.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
