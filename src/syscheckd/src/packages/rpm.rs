//! rpm's records: asked of `rpm` itself, since they lie in one of three databases (sqlite, ndb, Berkeley DB) by the system's age.
//!
//! The question for all packages takes a quarter of a second for 100,000 files; it is asked after the database has changed. Its lock, `.rpm.lock`,
//! is held for a transaction (fcntl(2); questions do not take it). There is no log: what is recorded of a package's installation has to do.

pub mod answer;

use std::ffi::OsStr;
use std::io::{self, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::database::{Content, Database, Mark, Package, Shipped, canonical, is_locked, written};
use crate::program::Running;
use answer::Answered;

/// The program.
pub const PROGRAM: &str = "/usr/bin/rpm";
/// Where distributions keep the database: of today, and of yesterday.
pub const FOLDERS: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];
/// Any of these is a database; they are written in a transaction, and not by a question.
const FILES: [&str; 4] = ["rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db", "Packages"];
/// We wait no longer for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer is read so far; 100,000 files take 15 MiB.
const MOST: u64 = 1 << 30;

/// The database, and the program that reads it.
#[derive(Debug, Clone)]
pub struct Rpm {
    program: PathBuf,
    folder: PathBuf,
}

impl Rpm {
    /// The database in the first of these folders that has one; `None` where there is none, or not the program.
    pub fn at(program: &Path, folders: &[&Path]) -> Option<Self> {
        let has_one = |folder: &&&Path| FILES.iter().any(|name| folder.join(name).exists());
        let folder = folders.iter().find(has_one).filter(|_| program.exists())?;
        Some(Self { program: program.into(), folder: folder.to_path_buf() })
    }

    /// Whether a package put exactly this content there: MD5 and SHA-256 are given.
    pub fn ships(&self, path: &Path, md5: [u8; 16], sha256: [u8; 32]) -> bool {
        let wanted = canonical(path.as_os_str().as_bytes());
        let mut ships = false;
        let question = [OsStr::new("-qf"), OsStr::new("--"), path.as_os_str()];
        let asked = self.ask(&question, &mut |package| {
            let mut here = package.files.iter().filter(|(path, _)| *path == wanted);
            ships |= here.any(|(_, shipped)| match shipped.and_then(|shipped| shipped.content) {
                Some(Content::Md5(shipped)) => shipped == md5,
                Some(Content::Sha256(shipped)) => shipped == sha256,
                None => false,
            });
            Ok(())
        });
        // That nobody owns the file is an error to it, too.
        asked.is_ok() && ships
    }

    fn ask(
        &self,
        question: &[&OsStr],
        each: &mut dyn FnMut(&Answered) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut command = Command::new(&self.program);
        // Who can change a record can take its signature away: nothing is gained by looking at them.
        command.arg("--dbpath").arg(&self.folder).args(["--nosignature", "--queryformat"]);
        command.arg(answer::FORMAT).args(question);
        let mut running = Running::start(command, PATIENCE)?;
        answer::each(BufReader::new(running.output(MOST, &mut || true)), each)?;
        match running.end(&mut || true)? {
            Some(0) => Ok(()),
            code => {
                let (program, code) = (self.program.display(), code.unwrap_or(-1));
                Err(io::Error::other(format!("'{program}' ended with exit code {code}")))
            }
        }
    }
}

impl Database for Rpm {
    fn name(&self) -> &'static str {
        "rpm"
    }

    fn is_busy(&self) -> bool {
        is_locked(&self.folder.join(".rpm.lock"))
    }

    fn mark(&self) -> Mark {
        let changed = FILES.iter().map(|name| written(&self.folder.join(name))).max();
        Mark { place: 0, changed: changed.unwrap_or(0) }
    }

    fn each(&self, each: &mut dyn FnMut(&Package<'_>) -> io::Result<()>) -> io::Result<()> {
        // It would make an empty one.
        if self.mark().changed == 0 {
            let folder = self.folder.display();
            return Err(io::Error::other(format!("there is no database in '{folder}' any more")));
        }
        self.ask(&[OsStr::new("-qa")], &mut |answered| {
            let files = |each: &mut dyn FnMut(&[u8], Option<Shipped>)| {
                answered.files.iter().for_each(|(path, shipped)| each(path, *shipped));
                Ok(())
            };
            each(&Package {
                name: &answered.name,
                version: &answered.version,
                installed: answered.installed,
                records: answered.records,
                files: &files,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const PACKAGE: &str = "p 'a' 'noarch' '1.0-1' 5 1\nf '/bin/a' '0cc175b9c0f1b6a831c399e269772661' 33261 0 0\n\ne\n";

    /// A database and a program that prints `answer`, then runs `then`.
    fn rpm(answer: &str, then: &str) -> (tempfile::TempDir, Rpm) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("rpmdb.sqlite"), "").unwrap();
        fs::write(at("answer"), answer).unwrap();
        let answer = at("answer").display().to_string();
        let program = format!("#!/bin/sh\necho \"$@\" >'{answer}.asked'\ncat '{answer}'\n{then}\n");
        fs::write(at("rpm"), program).unwrap();
        fs::set_permissions(at("rpm"), fs::Permissions::from_mode(0o755)).unwrap();
        let rpm = Rpm::at(&at("rpm"), &[&at("none"), folder.path()]).unwrap();
        (folder, rpm)
    }

    fn names(rpm: &Rpm) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        rpm.each(&mut |package| {
            names.push(String::from_utf8_lossy(package.name).into_owned());
            Ok(())
        })?;
        Ok(names)
    }

    #[test]
    fn packages_are_what_the_program_prints() {
        let (folder, rpm) = rpm(PACKAGE, "");
        assert_eq!(names(&rpm).unwrap(), ["a:noarch"]);
        let asked = fs::read_to_string(folder.path().join("answer.asked")).unwrap();
        assert!(asked.starts_with(&format!("--dbpath {} ", folder.path().display())), "{asked}");
        assert!(asked.trim_end().ends_with("-qa"), "{asked}");
    }

    #[test]
    fn a_program_that_fails_says_nothing_of_packages() {
        assert!(names(&rpm("", "exit 1").1).is_err());
        assert!(names(&rpm(PACKAGE, "exit 1").1).is_err());
        assert!(names(&rpm(PACKAGE, "kill -9 $$").1).is_err());
        assert_eq!(names(&rpm("", "").1).unwrap(), [""; 0]);
    }

    #[test]
    fn a_database_that_is_gone_is_no_empty_one() {
        let (folder, rpm) = rpm(PACKAGE, "");
        fs::remove_file(folder.path().join("rpmdb.sqlite")).unwrap();
        assert!(names(&rpm).is_err());
        assert!(Rpm::at(&folder.path().join("rpm"), &[folder.path()]).is_none());
    }

    #[test]
    fn a_file_is_as_shipped_by_place_and_content() {
        let (_folder, rpm) = rpm(PACKAGE, "");
        let md5 = fim::sum::hex(b"0cc175b9c0f1b6a831c399e269772661").unwrap();
        assert!(rpm.ships(Path::new("/usr/bin/a"), md5, [0; 32]));
        assert!(!rpm.ships(Path::new("/usr/bin/b"), md5, [0; 32]));
        assert!(!rpm.ships(Path::new("/usr/bin/a"), [0; 16], [0; 32]));
    }

    #[test]
    fn each_write_is_another_mark() {
        let (folder, rpm) = rpm(PACKAGE, "");
        let before = rpm.mark();
        let wal = fs::File::create(folder.path().join("rpmdb.sqlite-wal")).unwrap();
        wal.set_modified(std::time::SystemTime::now() + Duration::from_secs(5)).unwrap();
        assert_ne!(rpm.mark(), before);
    }
}
