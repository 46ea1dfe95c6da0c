//! A daemon under measurement: started, asked what it used, stopped.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running daemon, and how long it took to be ready.
pub struct Daemon {
    child: Child,
    pub ready_after: Duration,
}

impl Daemon {
    /// Starts a daemon in the foreground and waits until it says that it is ready.
    pub fn start(root: &Path, name: &str, cores: Option<&str>) -> Self {
        match cores {
            Some(cores) => Self::start_by(root, name, &["taskset", "-c", cores]),
            None => Self::start_by(root, name, &[]),
        }
    }

    /// The same, by a program that starts others.
    pub fn start_by(root: &Path, name: &str, launcher: &[&str]) -> Self {
        let notify = root.join("var/run/bench-notify");
        let _ = fs::remove_file(&notify);
        let socket = UnixDatagram::bind(&notify).expect("notify socket");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
        let program = root.join("bin").join(name);
        let mut command = match launcher {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command
            .arg("-f")
            .env("OXSEC_ROOT", root)
            .env("OXSEC_STAY_USER", "1")
            .env("NOTIFY_SOCKET", &notify);
        let start = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the daemon starts");
        let mut buffer = [0; 256];
        let len =
            socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{name} is not ready: {error}"));
        assert!(buffer[..len].starts_with(b"READY=1"), "{name} says it is ready");
        Self { child, ready_after: start.elapsed() }
    }

    /// Processor time of all threads that it has or had, in hundredths of a second (proc(5): `utime` and `stime`).
    pub fn cpu_with_ended_threads(&self) -> f64 {
        let text =
            fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
        let ticks = behind.split_whitespace().skip(11).take(2);
        ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }

    /// Processor time of all its threads.
    pub fn cpu_seconds(&mut self) -> f64 {
        let tasks =
            fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let times = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
        times.filter_map(|text| text.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e9
    }

    pub fn resident_kib(&mut self) -> u64 {
        self.kib("status", "VmRSS:")
    }

    pub fn peak_kib(&mut self) -> u64 {
        self.kib("status", "VmHWM:")
    }

    pub fn private_kib(&mut self) -> u64 {
        self.kib("smaps_rollup", "Private_Dirty:")
    }

    /// Pages that others have, too, count in part.
    pub fn proportional_kib(&mut self) -> u64 {
        self.kib("smaps_rollup", "Pss:")
    }

    fn kib(&mut self, file: &str, key: &str) -> u64 {
        let text =
            fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    }

    pub fn stop(mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

pub fn write(path: &Path, text: &str) {
    let _ = fs::remove_file(path);
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

pub fn nanos() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |since| since.as_nanos() as u64)
}
