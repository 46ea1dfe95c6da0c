//! The forms of dpkg's records: `status` and its paragraphs, `info/*.list`, `info/*.md5sums`, the log's lines.
//!
//! Bytes, whoever wrote them: what is no record is passed over.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Read};

use super::super::database::{canonical, without_architecture};

/// A line is read so far.
const MOST_LINE: u64 = 1 << 16;

/// An installed package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// Its version.
    pub version: Vec<u8>,
    /// Digests of its configuration files as shipped, by path.
    pub conffiles: HashMap<Vec<u8>, [u8; 16]>,
}

/// `status`: the installed packages by the name that their files in `info` bear (`libc6:amd64`, `bash`).
///
/// # Errors
/// What the reader gives.
pub fn status(mut reader: impl BufRead) -> io::Result<BTreeMap<Vec<u8>, Installed>> {
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

/// `<package>.list`: calls `each` with every path, as [`canonical`] has it.
///
/// # Errors
/// What the reader gives.
pub fn list(mut reader: impl BufRead, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    for_lines(&mut reader, |line| each(&canonical(line)))
}

/// `<package>.md5sums`, lines `<hex>  <path without slash in front>`: the digests by path. What can be read until an error is what there is.
pub fn md5sums(mut reader: impl BufRead) -> HashMap<Vec<u8>, [u8; 16]> {
    let mut sums = HashMap::new();
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

/// The log: the packages that it names, without architecture, in order, each once.
///
/// # Errors
/// What the reader gives.
pub fn log(mut reader: impl BufRead) -> io::Result<Vec<Vec<u8>>> {
    let mut named = Vec::new();
    for_lines(&mut reader, |line| named.extend(logged(line)))?;
    named.sort_unstable();
    named.dedup();
    Ok(named)
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

fn digest(hex: &[u8]) -> Option<[u8; 16]> {
    fim::sum::hex(hex)
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
            log(bytes.as_slice()).unwrap();
        }
    }
}
