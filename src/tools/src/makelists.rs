//! `ossec-makelists`: compiles the lists of `<rules>` into constant databases, `<list>.cdb`, when their text is newer.
//!
//! The suite itself reads the texts; the compiled form is for programs that want it, and for lists that come compiled.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::{complain, say};

const USAGE: &str = "\
ossec-makelists: compiles lists of keys for rules
  ossec-makelists [-VhdtF] [-c config] [-D dir]
    -F          Compile all lists, also those that have not changed; shows each entry
    -t          Check the configuration, then exit
    -c file     Configuration, instead of etc/ossec.conf below the install root
    -D dir      Install root
    -u -g name  Accepted: lists get the owner and group of their text
    -d          Say more about what is being done
    -V -h       Version, this help
";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    version: bool,
    help: bool,
    check_only: bool,
    force: bool,
    config: Option<PathBuf>,
    root: Option<PathBuf>,
}

/// The program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            complain(&format!("ossec-makelists: {why}\n{USAGE}"));
            return ExitCode::FAILURE;
        }
    };
    if arguments.help || arguments.version {
        let version = concat!("Oxsec v", env!("CARGO_PKG_VERSION"), "\n");
        complain(if arguments.help { USAGE } else { version });
        return ExitCode::SUCCESS;
    }
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&format!("ossec-makelists: {why}\n"));
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn read(given: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut read = Self::default();
        let mut given = given;
        while let Some(argument) = given.next() {
            let flags = argument.as_bytes().strip_prefix(b"-").filter(|flags| !flags.is_empty());
            let Some(flags) = flags else {
                return Err(format!("unexpected argument '{}'", argument.display()));
            };
            let mut flags = flags.iter().copied();
            while let Some(flag) = flags.next() {
                match flag {
                    b'V' => read.version = true,
                    b'h' => read.help = true,
                    b't' => read.check_only = true,
                    b'F' => read.force = true,
                    b'd' => {}
                    b'c' | b'D' | b'u' | b'g' => {
                        let stuck: Vec<u8> = flags.by_ref().collect();
                        let stuck = (!stuck.is_empty()).then(|| OsString::from_vec(stuck));
                        let value = stuck.or_else(|| given.next());
                        let missing =
                            || format!("option requires an argument -- '{}'", char::from(flag));
                        let value = PathBuf::from(value.ok_or_else(missing)?);
                        match flag {
                            b'c' => read.config = Some(value),
                            b'D' => read.root = Some(value),
                            _ => {}
                        }
                    }
                    odd => return Err(format!("invalid option -- '{}'", odd.escape_ascii())),
                }
            }
        }
        Ok(read)
    }

    fn run(&self) -> Result<(), String> {
        let root = runtime::root::find(self.root.as_deref());
        let config = self.config.clone().unwrap_or_else(|| root.join("etc/ossec.conf"));
        let settings = settings::load(&config).map_err(|e| format!("{e}\n{}", e.closing()))?;
        let lists = settings.rules.list_files(&root);
        if self.check_only {
            return Ok(());
        }
        for list in lists {
            let name = list.strip_prefix(&root).unwrap_or(&list).to_owned();
            compile(&list, &name, self.force)
                .map_err(|error| format!("'{}' could not be compiled: {error}", list.display()))?;
        }
        Ok(())
    }
}

/// Compiles one list if its text is newer than its compiled form, or if forced.
fn compile(text: &Path, name: &Path, force: bool) -> io::Result<()> {
    let compiled = settings::compiled_path(text);
    let is_current = match (fs::metadata(text), fs::metadata(&compiled)) {
        (Ok(text), Ok(compiled)) => !is_newer(&text, &compiled),
        // It came compiled.
        (Err(error), Ok(_)) if error.kind() == io::ErrorKind::NotFound => true,
        (Err(error), _) => return Err(error),
        (Ok(_), Err(_)) => false,
    };
    if is_current && !(force && text.exists()) {
        say(&format!(" * File {}.cdb does not need to be compiled\n", name.display()));
        return Ok(());
    }
    say(&format!(" * File {}.cdb needs to be updated\n", name.display()));
    let content = fs::read(text)?;
    if force {
        for (key, value) in cdb::entries(&content) {
            let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
            complain(&format!("  * adding - key: {key} value: {value}\n"));
        }
    }
    let database = cdb::write(cdb::entries(&content)).map_err(io::Error::other)?;
    let mut fresh = OsString::from(text);
    fresh.push(".tmp");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
    file.write_all(&database)?;
    if rustix::process::geteuid().is_root() {
        let owner = fs::metadata(text)?;
        std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.sync_all()?;
    fs::rename(&fresh, &compiled)
}

fn is_newer(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    (a.mtime(), a.mtime_nsec()) > (b.mtime(), b.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn age(path: &Path, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_list_is_compiled_when_its_text_is_newer() {
        let dir = tempfile::tempdir().unwrap();
        let (text, compiled) = (dir.path().join("users"), dir.path().join("users.cdb"));
        let name = Path::new("lists/users");
        let value = |key: &[u8]| {
            let bytes = fs::read(&compiled).unwrap();
            cdb::Reader::new(&bytes).unwrap().get(key).map(<[u8]>::to_vec)
        };
        fs::write(&text, "bob:admin\neve:x ### note\n").unwrap();
        compile(&text, name, false).unwrap();
        assert_eq!(value(b"eve").as_deref(), Some(&b"x"[..]));

        fs::write(&text, "bob:guest\n").unwrap();
        age(&text, 100);
        compile(&text, name, false).unwrap();
        assert_eq!(value(b"bob").as_deref(), Some(&b"admin"[..]), "the text is older");
        compile(&text, name, true).unwrap();
        assert_eq!(value(b"bob").as_deref(), Some(&b"guest"[..]), "it was forced");

        age(&compiled, 200);
        fs::write(&text, "new:1\n").unwrap();
        compile(&text, name, false).unwrap();
        assert_eq!(value(b"bob"), None);
        fs::remove_file(&text).unwrap();
        compile(&text, name, true).unwrap();
        assert!(!dir.path().join("users.tmp").exists());
    }

    #[test]
    fn a_list_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(compile(&dir.path().join("none"), Path::new("none"), true).is_err());
    }

    #[test]
    fn flags_are_read_as_getopt_would() {
        let read = |words: &[&str]| Arguments::read(words.iter().map(OsString::from));
        let read_all = read(&["-tF", "-D/x", "-c", "y", "-u", "ossec"]).unwrap();
        assert!(read_all.check_only && read_all.force);
        assert_eq!(read_all.root, Some(PathBuf::from("/x")));
        assert_eq!(read_all.config, Some(PathBuf::from("y")));
        assert!(read(&["-x"]).is_err() && read(&["-c"]).is_err() && read(&["x"]).is_err());
    }
}
