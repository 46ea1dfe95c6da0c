//! What the manager tells the agent to do: take shared files, run responses, scan.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use wire::control::ToAgent;
use wire::merged;
use wire::shared::{Assembler, SharedFile};

/// Below the install root.
pub(crate) const SHARED: &str = "etc/shared";
/// All shared files in one.
pub(crate) const MERGED: &str = "merged.mg";
/// Its existence asks syscheckd for a scan.
const SCAN_NOW: &str = "var/run/.syscheck_run";
/// The largest shared file.
const MAX_SHARED: usize = 32 << 20;

/// Obeys.
#[derive(Debug)]
pub(crate) struct Orders {
    root: PathBuf,
    assembler: Assembler,
    /// Whether responses are passed on to execd.
    responses: bool,
    pub(crate) counts: Counts,
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) files: u64,
    pub(crate) files_refused: u64,
    pub(crate) responses: u64,
    pub(crate) responses_refused: u64,
    pub(crate) scans: u64,
    pub(crate) unknown: u64,
}

impl Orders {
    pub(crate) fn new(root: &Path, responses: bool) -> Self {
        let assembler = Assembler::new(MAX_SHARED);
        Self { root: root.to_owned(), assembler, responses, counts: Counts::default() }
    }

    /// Whether responses are passed on from now on.
    pub(crate) fn set_responses(&mut self, responses: bool) {
        self.responses = responses;
    }

    /// Does what an authentic message says; whether a shared file has come in by it.
    pub(crate) fn obey(&mut self, message: &ToAgent<'_>) -> bool {
        match message {
            ToAgent::Ack => {}
            ToAgent::FileBegin { sum, name } => {
                if let Err(error) = self.assembler.begin(sum, name) {
                    self.refuse_file(&error.to_string());
                }
            }
            ToAgent::FilePiece(_) if !self.assembler.is_open() => {
                self.unknown("Unknown message received. No action defined.");
            }
            ToAgent::FilePiece(bytes) => {
                if let Err(error) = self.assembler.piece(bytes) {
                    self.refuse_file(&error.to_string());
                }
            }
            ToAgent::FileEnd if !self.assembler.is_open() => {}
            ToAgent::FileEnd => match self.assembler.end() {
                Ok(file) => return self.take_file(&file),
                Err(error) => self.refuse_file(&error.to_string()),
            },
            ToAgent::Execd(line) => self.respond(line),
            ToAgent::SyscheckRestart => self.scan(),
            ToAgent::Syscheck(request) => self.ask_syscheckd(request),
            ToAgent::Unknown(_) => {
                self.assembler.abort();
                self.unknown("Unknown message received from server.");
            }
        }
        false
    }

    fn take_file(&mut self, file: &SharedFile) -> bool {
        match install(&self.root.join(SHARED), file) {
            Ok(refused) => {
                self.counts.files += 1;
                log::info!("Shared file '{}' received from the manager.", file.name);
                for why in refused {
                    log::warn!("'{}': {why}; it was passed over.", file.name);
                }
                true
            }
            Err(error) => {
                let why = format!(
                    "'{SHARED}/{}' cannot be replaced due to [{}]; the next keepalive asks again",
                    file.name,
                    runtime::errno(&error)
                );
                self.refuse_file(&why);
                false
            }
        }
    }

    fn refuse_file(&mut self, why: &str) {
        self.counts.files_refused += 1;
        if self.counts.files_refused.is_power_of_two() {
            log::warn!("{why} (the {}th).", self.counts.files_refused);
        }
    }

    fn unknown(&mut self, text: &str) {
        self.counts.unknown += 1;
        if self.counts.unknown.is_power_of_two() {
            log::warn!("{text} ({} of them so far)", self.counts.unknown);
        }
    }

    fn respond(&mut self, line: &[u8]) {
        if !self.responses {
            self.counts.responses_refused += 1;
            log::info!("An active response was not run: <disable-active-response> is yes.");
            return;
        }
        let path = self.root.join(ipc::paths::EXECQ);
        let mut order = line.to_vec();
        order.push(0);
        match ipc::datagram::connect(&path).and_then(|socket| socket.send(&order)) {
            Ok(_) => self.counts.responses += 1,
            Err(error) => {
                self.counts.responses_refused += 1;
                log::error!(
                    "(1301) Unable to connect to active response queue. '{}' due to [{}]: the response was not run; is ossec-execd running?",
                    ipc::paths::EXECQ,
                    runtime::errno(&error)
                );
            }
        }
    }

    /// What the manager wants to know of the watched files; it asks again when no answer comes.
    fn ask_syscheckd(&mut self, request: &[u8]) {
        let path = self.root.join(ipc::paths::SYSCHECK_CONTROL);
        let sent = ipc::datagram::connect(&path).and_then(|socket| socket.send(request));
        if let Err(error) = sent {
            let why = runtime::errno(&error);
            log::debug!("'{}' [{why}]: the manager's question waits.", path.display());
        }
    }

    fn scan(&mut self) {
        self.counts.scans += 1;
        match fs::write(self.root.join(SCAN_NOW), format!("/{SCAN_NOW}\n")) {
            Ok(()) => log::info!("The manager asks for a scan."),
            Err(error) => log::error!(
                "(1103) Could not open file '{SCAN_NOW}' due to [{}].",
                runtime::errno(&error)
            ),
        }
    }
}

/// Puts a file, and what is merged in it, below `folder`; returns why entries were passed over. merged.mg itself comes
/// last: as long as it is not there, the manager sends it again.
fn install(folder: &Path, file: &SharedFile) -> io::Result<Vec<String>> {
    let mut refused = Vec::new();
    if file.name == MERGED {
        for entry in merged::unpack(&file.content) {
            match entry {
                Ok(entry) if entry.name == MERGED => {}
                Ok(entry) => replace(folder, entry.name, entry.content)?,
                Err(error) => refused.push(error.to_string()),
            }
        }
    }
    replace(folder, &file.name, &file.content)?;
    Ok(refused)
}

/// Names are plain, and so never begin with a dot: the temporary one can't be another's. A file that is the same stays.
fn replace(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let temporary = folder.join(".incoming");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&temporary)?;
    let written = file.write_all(content).and_then(|()| file.sync_data());
    let replaced = written.and_then(|()| fs::rename(&temporary, &path));
    if replaced.is_err() {
        // Best effort: the error that counts is the one at hand.
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use wire::digest::Md5Hex;
    use wire::merged::{Entry, pack};
    use wire::shared::push;

    fn root() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in [SHARED, "var/run", "queue/alerts"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        dir
    }

    fn merged() -> Vec<u8> {
        let mut merged = Vec::new();
        pack(&Entry { name: "agent.conf", content: b"<agent_config/>" }, &mut merged).unwrap();
        merged.extend_from_slice(b"!4 ../../x\nevil");
        pack(&Entry { name: "ar.conf", content: &[b'a'; 2000] }, &mut merged).unwrap();
        merged
    }

    fn push_to(orders: &mut Orders, content: &[u8], leave_out: Option<usize>) {
        let sum = Md5Hex::of(content);
        for (at, message) in push(MERGED.as_bytes(), &sum, content).enumerate() {
            if Some(at) != leave_out {
                orders.obey(&message);
            }
        }
    }

    #[test]
    fn questions_about_files_go_to_syscheckd() {
        let dir = root();
        let mut orders = Orders::new(dir.path(), true);
        fs::create_dir_all(dir.path().join("queue/syscheckd")).unwrap();
        let path = dir.path().join(ipc::paths::SYSCHECK_CONTROL);
        orders.obey(&ToAgent::Syscheck(b"digest"));
        let syscheckd = UnixDatagram::bind(path).unwrap();
        orders.obey(&ToAgent::Syscheck(b"resend 7"));
        let mut heard = [0; 64];
        let len = syscheckd.recv(&mut heard).unwrap();
        assert_eq!(&heard[..len], b"resend 7");
    }

    #[test]
    fn a_pushed_file_is_unpacked_and_names_that_climb_are_passed_over() {
        let dir = root();
        let mut orders = Orders::new(dir.path(), true);
        push_to(&mut orders, &merged(), None);
        let shared = dir.path().join(SHARED);
        assert_eq!(fs::read(shared.join("agent.conf")).unwrap(), b"<agent_config/>");
        assert_eq!(fs::read(shared.join("ar.conf")).unwrap(), [b'a'; 2000]);
        assert_eq!(fs::read(shared.join(MERGED)).unwrap(), merged());
        let mut names: Vec<_> =
            fs::read_dir(&shared).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["agent.conf", "ar.conf", "merged.mg"]);
        assert!(!dir.path().join("x").exists());
    }

    #[test]
    fn a_file_with_a_lost_piece_changes_nothing() {
        let dir = root();
        let mut orders = Orders::new(dir.path(), true);
        fs::write(dir.path().join("etc/shared/merged.mg"), "old").unwrap();
        push_to(&mut orders, &merged(), Some(2));
        assert_eq!(fs::read(dir.path().join("etc/shared/merged.mg")).unwrap(), b"old");
        assert!(!dir.path().join("etc/shared/ar.conf").exists());
        assert_eq!(orders.counts.files_refused, 1);
    }

    #[test]
    fn a_response_reaches_execd_unless_it_is_disabled() {
        let dir = root();
        let execd = UnixDatagram::bind(dir.path().join(ipc::paths::EXECQ)).unwrap();
        execd.set_nonblocking(true).unwrap();
        let order = ToAgent::Execd(b"host-deny600 - 10.1.1.1 1.2 3 x -");
        Orders::new(dir.path(), false).obey(&order);
        Orders::new(dir.path(), true).obey(&order);
        let mut buffer = [0; 100];
        let len = execd.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"host-deny600 - 10.1.1.1 1.2 3 x -\0");
        assert!(execd.recv(&mut buffer).is_err(), "the disabled one has sent too");
    }

    #[test]
    fn a_scan_is_asked_for_and_without_execd_the_response_is_counted() {
        let dir = root();
        let mut orders = Orders::new(dir.path(), true);
        orders.obey(&ToAgent::SyscheckRestart);
        orders.obey(&ToAgent::Execd(b"x - -"));
        let asked = fs::read(dir.path().join(SCAN_NOW)).unwrap();
        assert_eq!(asked, b"/var/run/.syscheck_run\n");
        assert_eq!((orders.counts.scans, orders.counts.responses_refused), (1, 1));
    }

    #[test]
    fn an_unknown_word_ends_a_transfer() {
        let dir = root();
        let mut orders = Orders::new(dir.path(), true);
        orders.obey(&ToAgent::FileBegin { sum: &[b'a'; 32], name: b"x" });
        orders.obey(&ToAgent::Unknown(b"dance"));
        orders.obey(&ToAgent::FilePiece(b"x"));
        assert_eq!(orders.counts.unknown, 2);
    }
}
