//! Which package owned which path when dpkg was last quiet: a file on disk, so that it takes no memory.
//!
//! `oxsec-packages 1\n`, number of packages and of paths (u32, little endian), place in dpkg's log (u64), for each package its name and
//! version with their lengths (u16) in front, then for each path the first 8 bytes of its SHA-256 and the package's number (u32), sorted.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::dpkg::{Dpkg, canonical};

const MAGIC: &[u8] = b"oxsec-packages 1\n";
const ENTRY: u64 = 12;
/// More is no index of ours.
const MOST_PACKAGES: u32 = 1 << 20;

/// The index, opened.
#[derive(Debug)]
pub struct Index {
    file: File,
    packages: Vec<(Vec<u8>, Vec<u8>)>,
    first_entry: u64,
    entries: u64,
    /// Where dpkg's log ended.
    pub log_end: u64,
    /// When it was made.
    pub made: SystemTime,
}

/// A package as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// As in `info`.
    pub name: &'a [u8],
    /// Its version then.
    pub version: &'a [u8],
}

impl Index {
    /// Reads dpkg's records, writes the index and opens it.
    ///
    /// # Errors
    /// The records cannot be read, or the file cannot be written.
    pub fn make(dpkg: &Dpkg, path: &Path) -> io::Result<Self> {
        let log_end = dpkg.log_end();
        let installed = dpkg.installed()?;
        let (mut packages, mut entries) = (Vec::new(), Vec::new());
        for (name, _) in dpkg.lists()? {
            let Some(found) = installed.get(&name) else { continue };
            let number = packages.len() as u32;
            dpkg.each_path(&name, |path| entries.push((key(path), number)))?;
            packages.push((name, found.version.clone()));
        }
        entries.sort_unstable();
        let beside = path.with_extension("new");
        let mut out = BufWriter::new(File::create(&beside)?);
        out.write_all(MAGIC)?;
        out.write_all(&(packages.len() as u32).to_le_bytes())?;
        out.write_all(&(entries.len() as u32).to_le_bytes())?;
        out.write_all(&log_end.to_le_bytes())?;
        for text in packages.iter().flat_map(|(name, version)| [name, version]) {
            let text = text.get(..usize::from(u16::MAX)).unwrap_or(text);
            out.write_all(&(text.len() as u16).to_le_bytes())?;
            out.write_all(text)?;
        }
        for (key, number) in &entries {
            out.write_all(&key.to_be_bytes())?;
            out.write_all(&number.to_le_bytes())?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?;
        fs::rename(&beside, path)?;
        Self::open(path)?
            .ok_or_else(|| io::Error::other("the index that was just written is damaged"))
    }

    /// Opens an index; `None` when there is none, or when it is damaged: it is made anew then.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let made = metadata.modified()?;
        let mut reader = Reader { file: &file, at: 0 };
        let Some((packages, entries, log_end)) = reader.head() else { return Ok(None) };
        let first_entry = reader.at;
        let whole = first_entry + entries * ENTRY == metadata.len();
        Ok(whole.then_some(Self { file, packages, first_entry, entries, log_end, made }))
    }

    /// The package that a path belonged to.
    pub fn owner(&self, path: &[u8]) -> Option<Owner<'_>> {
        let wanted = key(&canonical(path));
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, _) = self.entry(middle)?;
            if found < wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let (found, number) = self.entry(low).filter(|_| low < self.entries)?;
        let (name, version) = self.packages.get(number as usize)?;
        (found == wanted).then_some(Owner { name, version })
    }

    /// The names of all packages.
    pub fn packages(&self) -> impl Iterator<Item = &[u8]> {
        self.packages.iter().map(|(name, _)| name.as_slice())
    }

    /// A package's version.
    pub fn version(&self, package: &[u8]) -> Option<&[u8]> {
        let found = self.packages.iter().find(|(name, _)| name == package);
        found.map(|(_, version)| version.as_slice())
    }

    fn entry(&self, at: u64) -> Option<(u64, u32)> {
        let mut bytes = [0; ENTRY as usize];
        self.file.read_exact_at(&mut bytes, self.first_entry + at * ENTRY).ok()?;
        let (key, number) = bytes.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*key), u32::from_le_bytes(number.try_into().ok()?)))
    }
}

/// The head: packages, number of entries, place in the log.
type Head = (Vec<(Vec<u8>, Vec<u8>)>, u64, u64);

struct Reader<'a> {
    file: &'a File,
    at: u64,
}

impl Reader<'_> {
    fn head(&mut self) -> Option<Head> {
        if self.take(MAGIC.len())? != MAGIC {
            return None;
        }
        let count = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        let entries = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        let log_end = u64::from_le_bytes(self.take(8)?.try_into().ok()?);
        if count > MOST_PACKAGES {
            return None;
        }
        let mut packages = Vec::new();
        for _ in 0..count {
            packages.push((self.text()?, self.text()?));
        }
        Some((packages, u64::from(entries), log_end))
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let len = u16::from_le_bytes(self.take(2)?.try_into().ok()?);
        self.take(usize::from(len))
    }

    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, self.at).ok()?;
        self.at += len as u64;
        Some(bytes)
    }
}

fn key(path: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(path).into();
    let (first, _) = digest.split_first_chunk::<8>().expect("a digest has 32 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(folder: &Path) -> Dpkg {
        fs::create_dir_all(folder.join("info")).unwrap();
        let status = "Package: nano\nStatus: install ok installed\nVersion: 7.2\n\nPackage: old\nStatus: deinstall ok config-files\nVersion: 1\n";
        fs::write(folder.join("status"), status).unwrap();
        fs::write(folder.join("info/nano.list"), "/.\n/bin\n/bin/nano\n/etc/nanorc\n").unwrap();
        fs::write(folder.join("info/old.list"), "/etc/old\n").unwrap();
        Dpkg::at(folder, Path::new("/nonexistent")).unwrap()
    }

    #[test]
    fn paths_have_owners() {
        let folder = tempfile::tempdir().unwrap();
        let dpkg = records(folder.path());
        let path = folder.path().join("index");
        Index::make(&dpkg, &path).unwrap();
        let index = Index::open(&path).unwrap().unwrap();
        let nano = Some(Owner { name: b"nano", version: b"7.2" });
        for path in [&b"/bin/nano"[..], b"/usr/bin/nano", b"/etc/nanorc"] {
            assert_eq!(index.owner(path), nano);
        }
        assert_eq!((index.owner(b"/etc/old"), index.owner(b"/etc/passwd")), (None, None));
        assert_eq!(index.version(b"nano"), Some(&b"7.2"[..]));
    }

    #[test]
    fn every_truncation_is_no_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        Index::make(&records(folder.path()), &path).unwrap();
        let whole = fs::read(&path).unwrap();
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            assert!(Index::open(&path).unwrap().is_none(), "{len}");
        }
    }

    #[test]
    fn a_mutated_index_is_lived_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        Index::make(&records(folder.path()), &path).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut random = 0x1234_5678_9abc_def1_u64;
        for _ in 0..2000 {
            let mut bytes = whole.clone();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % bytes.len();
            bytes[at] = (random >> 32) as u8;
            fs::write(&path, bytes).unwrap();
            if let Ok(Some(index)) = Index::open(&path) {
                index.owner(b"/bin/nano");
            }
        }
    }
}
