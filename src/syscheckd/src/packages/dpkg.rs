//! dpkg's records, read as it writes them: `status`, `info/*.list`, `info/*.md5sums`, its locks and its log (deb-md5sums(5), dpkg(1)).

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// One record file is read so far; the largest known are a few MiB.
const MOST: u64 = 64 << 20;
/// A line is read so far.
const MOST_LINE: u64 = 1 << 16;

/// Where the records lie.
#[derive(Debug, Clone)]
pub struct Dpkg {
    folder: PathBuf,
    log: PathBuf,
}

/// An installed package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// Its version.
    pub version: Vec<u8>,
    /// Digests of its configuration files as shipped, by path.
    pub conffiles: HashMap<Vec<u8>, [u8; 16]>,
}

impl Dpkg {
    /// The records in `folder` (`/var/lib/dpkg`) with this log (`/var/log/dpkg.log`); `None` where there are none.
    pub fn at(folder: &Path, log: &Path) -> Option<Self> {
        folder.join("status").exists().then(|| Self { folder: folder.into(), log: log.into() })
    }

    /// Whether a package manager holds its lock now.
    pub fn is_busy(&self) -> bool {
        ["lock", "lock-frontend"].iter().any(|name| is_locked(&self.folder.join(name)))
    }

    /// When `status` was written last.
    pub fn changed(&self) -> Option<SystemTime> {
        fs::metadata(self.folder.join("status")).ok()?.modified().ok()
    }

    /// The installed packages by the name that their files in `info` bear (`libc6:amd64`, `bash`).
    ///
    /// # Errors
    /// `status` cannot be read.
    pub fn installed(&self) -> io::Result<BTreeMap<Vec<u8>, Installed>> {
        status(BufReader::new(File::open(self.folder.join("status"))?.take(MOST)))
    }

    /// Names of the packages that have a list, and when it was written.
    ///
    /// # Errors
    /// `info` cannot be read.
    pub fn lists(&self) -> io::Result<Vec<(Vec<u8>, SystemTime)>> {
        let mut lists = Vec::new();
        for entry in fs::read_dir(self.folder.join("info"))? {
            let entry = entry?;
            let name = entry.file_name().into_vec();
            if let Some(package) = name.strip_suffix(b".list") {
                lists.push((package.to_vec(), entry.metadata()?.modified()?));
            }
        }
        Ok(lists)
    }

    /// The digests of a package's files, by path; empty where the package ships none.
    pub fn shipped(&self, package: &[u8]) -> HashMap<Vec<u8>, [u8; 16]> {
        let file = File::open(self.digests(package));
        file.map_or_else(|_| HashMap::new(), |file| md5sums(BufReader::new(file.take(MOST))))
    }

    /// The file with a package's digests.
    pub fn digests(&self, package: &[u8]) -> PathBuf {
        self.info(package, ".md5sums")
    }

    /// Calls `each` with every path of a package's list, as [`canonical`] has it.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn each_path(&self, package: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(self.info(package, ".list"))?.take(MOST));
        for_lines(&mut reader, |line| each(&canonical(line)))
    }

    /// Where the log ends now.
    pub fn log_end(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }

    /// The packages, without architecture, that the log names behind this place; `None` where there is no log. A log
    /// that became shorter was begun anew and is read whole.
    pub fn logged_since(&self, from: u64) -> Option<Vec<Vec<u8>>> {
        let mut file = File::open(&self.log).ok()?;
        let from = if self.log_end() < from { 0 } else { from };
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut named = Vec::new();
        let mut reader = BufReader::new(file.take(MOST));
        let read = for_lines(&mut reader, |line| named.extend(logged(line)));
        read.ok()?;
        named.sort_unstable();
        named.dedup();
        Some(named)
    }

    fn info(&self, package: &[u8], suffix: &str) -> PathBuf {
        let name = [package, suffix.as_bytes()].concat();
        self.folder.join("info").join(std::ffi::OsStr::from_bytes(&name))
    }
}

/// A path as both sides write it: what is below `/bin`, `/sbin`, `/lib*` lies below `/usr` on systems of today, whatever a list says.
pub fn canonical(path: &[u8]) -> Vec<u8> {
    let first = path.get(1..).unwrap_or_default().split(|&byte| byte == b'/').next();
    match first {
        Some(b"bin" | b"sbin" | b"lib" | b"lib32" | b"lib64" | b"libx32") => {
            [b"/usr", path].concat()
        }
        _ => path.to_vec(),
    }
}

/// `<date> <time> status installed openssl:amd64 3.0.2`, `<date> <time> upgrade openssl:amd64 3.0.1 3.0.2`, and so on.
fn logged(line: &[u8]) -> Option<Vec<u8>> {
    let mut words = line.split(|&byte| byte == b' ').skip(2);
    let package = match words.next()? {
        b"status" => words.nth(1)?,
        b"install" | b"upgrade" | b"configure" | b"remove" | b"purge" => words.next()?,
        _ => return None,
    };
    Some(without_architecture(package).to_vec())
}

/// `libc6` of `libc6:amd64`.
pub fn without_architecture(package: &[u8]) -> &[u8] {
    package.split(|&byte| byte == b':').next().unwrap_or(package)
}

fn status(mut reader: impl BufRead) -> io::Result<BTreeMap<Vec<u8>, Installed>> {
    let mut packages = BTreeMap::new();
    let mut paragraph = Paragraph::default();
    for_lines(&mut reader, |line| {
        if line.is_empty() {
            packages.extend(std::mem::take(&mut paragraph).finish());
        } else {
            paragraph.take(line);
        }
    })?;
    packages.extend(paragraph.finish());
    Ok(packages)
}

#[derive(Default)]
struct Paragraph {
    name: Vec<u8>,
    architecture: Vec<u8>,
    installed: bool,
    same: bool,
    in_conffiles: bool,
    found: Installed,
}

impl Paragraph {
    fn take(&mut self, line: &[u8]) {
        if let Some(value) = line.strip_prefix(b" ") {
            if self.in_conffiles {
                let mut words = value.split(|&byte| byte == b' ');
                if let (Some(path), Some(md5)) = (words.next(), words.next().and_then(digest)) {
                    self.found.conffiles.insert(canonical(path), md5);
                }
            }
            return;
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return };
        let (key, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..));
        let value = value.unwrap_or_default().trim_ascii();
        self.in_conffiles = key == b"Conffiles";
        match key {
            b"Package" => self.name = value.to_vec(),
            b"Architecture" => self.architecture = value.to_vec(),
            b"Multi-Arch" => self.same = value == b"same",
            b"Status" => self.installed = value.ends_with(b" installed"),
            b"Version" => self.found.version = value.to_vec(),
            _ => {}
        }
    }

    fn finish(self) -> Option<(Vec<u8>, Installed)> {
        let Self { mut name, architecture, installed, same, found, .. } = self;
        if same {
            name = [&name, &b":"[..], &architecture].concat();
        }
        (installed && !name.is_empty()).then_some((name, found))
    }
}

/// Lines `<hex>  <path without slash in front>`.
fn md5sums(mut reader: impl BufRead) -> HashMap<Vec<u8>, [u8; 16]> {
    let mut sums = HashMap::new();
    // What could be read until an error is what there is.
    let _ = for_lines(&mut reader, |line| {
        if let Some((hex, path)) = line.split_at_checked(32)
            && let Some(md5) = digest(hex)
            && let Some(path) = path.strip_prefix(b"  ")
        {
            sums.insert(canonical(&[b"/", path].concat()), md5);
        }
    });
    sums
}

fn digest(hex: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(hex).ok().filter(|text| text.len() == 32)?;
    Some(u128::from_str_radix(text, 16).ok()?.to_be_bytes())
}

fn for_lines(reader: &mut impl BufRead, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(MOST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        each(line.strip_suffix(b"\n").unwrap_or(&line));
    }
}

/// Whether any other process holds a lock on the file (fcntl(2), as dpkg takes it).
fn is_locked(path: &Path) -> bool {
    use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
    let Ok(file) = File::open(path) else { return false };
    let mut wish = Flock::from(FlockType::WriteLock);
    wish.offset_type = FlockOffsetType::Set;
    matches!(fcntl_getlk(&file, &wish), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &[u8] = b"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2\nConffiles:\n /etc/skel/.bashrc d41d8cd98f00b204e9800998ecf8427e\n /etc/odd broken\nDescription: x\n more\n\nPackage: libc6\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: 2.36\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n";

    #[test]
    fn the_status_names_what_is_installed() {
        let packages = status(STATUS).unwrap();
        let names: Vec<_> = packages.keys().map(Vec::as_slice).collect();
        assert_eq!(names, [&b"bash"[..], b"libc6:amd64"]);
        assert_eq!(packages[&b"bash"[..]].version, b"5.2");
        assert_eq!(packages[&b"bash"[..]].conffiles.len(), 1);
    }

    #[test]
    fn digests_go_by_the_path_of_today() {
        let sums = md5sums(&b"d41d8cd98f00b204e9800998ecf8427e  bin/sh\nshort\n"[..]);
        assert!(sums.contains_key(&b"/usr/bin/sh"[..]) && sums.len() == 1);
        assert_eq!(canonical(b"/library/x"), b"/library/x");
    }

    #[test]
    fn the_log_names_packages() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("dpkg.log");
        fs::write(folder.path().join("status"), "").unwrap();
        let before = "2026-11-21 02:16:19 startup archives unpack\n";
        let after = "2026-11-21 02:16:19 upgrade nano:amd64 7.1 7.2\n2026-11-21 02:16:20 status installed libc-bin:amd64 2.36\n2026-11-21 02:16:20 trigproc x:amd64 1 <none>\n";
        fs::write(&log, [before, after].concat()).unwrap();
        let dpkg = Dpkg::at(folder.path(), &log).unwrap();
        let named = dpkg.logged_since(before.len() as u64).unwrap();
        assert_eq!(named, [b"libc-bin".to_vec(), b"nano".to_vec()]);
        assert_eq!(dpkg.logged_since(1 << 20).unwrap().len(), 2, "a log begun anew");
    }

    #[test]
    fn a_lock_that_another_process_holds_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("status"), "").unwrap();
        fs::write(folder.path().join("lock"), "").unwrap();
        let dpkg = Dpkg::at(folder.path(), Path::new("/nonexistent")).unwrap();
        assert!(!dpkg.is_busy());
        let script = "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('held',flush=True)\nsys.stdin.read()";
        let mut child = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(folder.path().join("lock"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert!(dpkg.is_busy());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!dpkg.is_busy());
    }

    #[test]
    fn truncated_and_mutated_records_are_lived_with() {
        for len in 0..STATUS.len() {
            status(&STATUS[..len]).unwrap();
        }
        let mut random = 0x1234_5678_9abc_def1_u64;
        for _ in 0..2000 {
            let mut bytes = STATUS.to_vec();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % bytes.len();
            bytes[at] = (random >> 32) as u8;
            status(bytes.as_slice()).unwrap();
            md5sums(bytes.as_slice());
            logged(&bytes);
        }
    }
}
