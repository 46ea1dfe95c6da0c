//! dpkg's records, read as it writes them: `status`, `info/*.list`, `info/*.md5sums`, its locks and its log (deb-md5sums(5), dpkg(1)).

pub mod records;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::database::{
    Content, Database, Mark, Package, Shipped, is_locked, nanoseconds, without_architecture,
    written,
};
use super::index::Index;
use records::Installed;

/// One record file is read so far; the largest known are a few MiB.
const MOST: u64 = 64 << 20;

/// Where the records lie.
#[derive(Debug, Clone)]
pub struct Dpkg {
    folder: PathBuf,
    log: PathBuf,
}

impl Dpkg {
    /// The records in `folder` (`/var/lib/dpkg`) with this log (`/var/log/dpkg.log`); `None` where there are none.
    pub fn at(folder: &Path, log: &Path) -> Option<Self> {
        folder.join("status").exists().then(|| Self { folder: folder.into(), log: log.into() })
    }

    fn installed(&self) -> io::Result<BTreeMap<Vec<u8>, Installed>> {
        records::status(BufReader::new(File::open(self.folder.join("status"))?.take(MOST)))
    }

    /// Names of the packages that have a list.
    fn lists(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut lists = Vec::new();
        for entry in fs::read_dir(self.folder.join("info"))? {
            let name = entry?.file_name().into_vec();
            lists.extend(name.strip_suffix(b".list").map(<[u8]>::to_vec));
        }
        Ok(lists)
    }

    /// A package's files. Configuration files have their digests in `status`, the others in a list of their own.
    fn files(
        &self,
        package: &[u8],
        installed: &Installed,
        each: &mut dyn FnMut(&[u8], Option<Shipped>),
    ) -> io::Result<()> {
        let sums = File::open(self.info(package, ".md5sums"));
        let sums = sums.map(|file| records::md5sums(BufReader::new(file.take(MOST))));
        let sums = sums.unwrap_or_default();
        let list = File::open(self.info(package, ".list"))?.take(MOST);
        records::list(BufReader::new(list), |path| {
            let md5 = installed.conffiles.get(path).or_else(|| sums.get(path));
            // Modes are not recorded.
            let shipped = Shipped { content: md5.copied().map(Content::Md5), mode: None };
            each(path, Some(shipped));
        })
    }

    fn info(&self, package: &[u8], suffix: &str) -> PathBuf {
        let name = [package, suffix.as_bytes()].concat();
        self.folder.join("info").join(OsStr::from_bytes(&name))
    }

    fn log_end(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }
}

impl Database for Dpkg {
    fn name(&self) -> &'static str {
        "dpkg"
    }

    fn is_busy(&self) -> bool {
        ["lock", "lock-frontend"].iter().any(|name| is_locked(&self.folder.join(name)))
    }

    fn mark(&self) -> Mark {
        Mark { place: self.log_end(), changed: written(&self.folder.join("status")) }
    }

    fn each(&self, each: &mut dyn FnMut(&Package<'_>) -> io::Result<()>) -> io::Result<()> {
        let installed = self.installed()?;
        for name in self.lists()? {
            let Some(found) = installed.get(&name) else { continue };
            let files =
                |each: &mut dyn FnMut(&[u8], Option<Shipped>)| self.files(&name, found, each);
            each(&Package {
                name: &name,
                version: &found.version,
                installed: written(&self.info(&name, ".list")),
                records: 0,
                files: &files,
            })?;
        }
        Ok(())
    }

    /// A log that became shorter was begun anew and is read whole.
    fn logged_since(&self, mark: Mark) -> Option<Vec<Vec<u8>>> {
        let mut file = File::open(&self.log).ok()?;
        let from = if self.log_end() < mark.place { 0 } else { mark.place };
        file.seek(SeekFrom::Start(from)).ok()?;
        records::log(BufReader::new(file.take(MOST))).ok()
    }

    /// Lists of digests whose package the log does not name (where there is no log: though dpkg was never seen at work).
    fn touched_since(&self, index: &Index, was_busy: bool) -> Vec<(Vec<u8>, u64)> {
        let logged = self.logged_since(index.mark);
        let made = nanoseconds(index.made);
        let mut touched = Vec::new();
        for package in self.lists().unwrap_or_default() {
            let path = self.info(&package, ".md5sums");
            let written = written(&path);
            let name = without_architecture(&package).to_vec();
            let explained = match &logged {
                Some(logged) => logged.binary_search(&name).is_ok(),
                None => was_busy,
            };
            if written > made && !explained {
                touched.push((path.into_os_string().into_vec(), written));
            }
        }
        touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_packages() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("dpkg.log");
        fs::write(folder.path().join("status"), "").unwrap();
        let before = "2026-11-21 02:16:19 startup archives unpack\n";
        let after = "2026-11-21 02:16:19 upgrade nano:amd64 7.1 7.2\n2026-11-21 02:16:20 status installed libc-bin:amd64 2.36\n2026-11-21 02:16:20 trigproc x:amd64 1 <none>\n";
        fs::write(&log, [before, after].concat()).unwrap();
        let dpkg = Dpkg::at(folder.path(), &log).unwrap();
        let named = |place: u64| dpkg.logged_since(Mark { place, changed: 0 }).unwrap();
        assert_eq!(named(before.len() as u64), [b"libc-bin".to_vec(), b"nano".to_vec()]);
        assert_eq!(named(1 << 20).len(), 2, "a log begun anew");
    }
}
