//! Which package owned which path when the package manager was last quiet: a file on disk, so that it takes no memory.
//!
//! `oxsec-packages 2\n`, number of packages and of paths (u32, little endian), the database's mark (twice u64), for each package when it was
//! installed and what is recorded of it (u64 each), its name and its version with their lengths (u16) in front; then for each path the
//! first 8 bytes of its SHA-256 and the package's number (u32), sorted.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::database::{Database, Mark, Package, canonical};

const MAGIC: &[u8] = b"oxsec-packages 2\n";
const ENTRY: u64 = 12;
/// More is no index of ours.
const MOST_PACKAGES: u32 = 1 << 20;

/// The index, opened.
#[derive(Debug)]
pub struct Index {
    file: File,
    packages: Vec<Noted>,
    first_entry: u64,
    entries: u64,
    /// Where the database stood.
    pub mark: Mark,
    /// When it was made.
    pub made: SystemTime,
}

/// A package as the index knows it: see [`Package`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// With its architecture where there may be several.
    pub name: Vec<u8>,
    /// Its version then.
    pub version: Vec<u8>,
    /// When it was installed.
    pub installed: u64,
    /// Digest of what was recorded of its files.
    pub records: u64,
}

impl Index {
    /// Reads the database, writes the index and opens it.
    ///
    /// # Errors
    /// The records cannot be read, or the file cannot be written.
    pub fn make(database: &dyn Database, path: &Path) -> io::Result<Self> {
        let mark = database.mark();
        let (mut packages, mut entries) = (Vec::new(), Vec::new());
        database.each(&mut |package| {
            let number = packages.len() as u32;
            (package.files)(&mut |path, _| entries.push((key(path), number)))?;
            let (name, version) = (package.name.to_vec(), package.version.to_vec());
            let Package { installed, records, .. } = *package;
            packages.push(Noted { name, version, installed, records });
            Ok(())
        })?;
        entries.sort_unstable();
        let beside = path.with_extension("new");
        let mut out = BufWriter::new(File::create(&beside)?);
        out.write_all(MAGIC)?;
        out.write_all(&(packages.len() as u32).to_le_bytes())?;
        out.write_all(&(entries.len() as u32).to_le_bytes())?;
        out.write_all(&mark.place.to_le_bytes())?;
        out.write_all(&mark.changed.to_le_bytes())?;
        for package in &packages {
            out.write_all(&package.installed.to_le_bytes())?;
            out.write_all(&package.records.to_le_bytes())?;
            for text in [&package.name, &package.version] {
                let text = text.get(..usize::from(u16::MAX)).unwrap_or(text);
                out.write_all(&(text.len() as u16).to_le_bytes())?;
                out.write_all(text)?;
            }
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
        let Some((packages, entries, mark)) = reader.head() else { return Ok(None) };
        let first_entry = reader.at;
        let whole = first_entry + entries * ENTRY == metadata.len();
        Ok(whole.then_some(Self { file, packages, first_entry, entries, mark, made }))
    }

    /// The package that a path belonged to.
    pub fn owner(&self, path: &[u8]) -> Option<&Noted> {
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
        self.packages.get(number as usize).filter(|_| found == wanted)
    }

    /// All packages.
    pub fn packages(&self) -> &[Noted] {
        &self.packages
    }

    fn entry(&self, at: u64) -> Option<(u64, u32)> {
        let mut bytes = [0; ENTRY as usize];
        self.file.read_exact_at(&mut bytes, self.first_entry + at * ENTRY).ok()?;
        let (key, number) = bytes.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*key), u32::from_le_bytes(number.try_into().ok()?)))
    }
}

/// The head: packages, number of entries, the mark.
type Head = (Vec<Noted>, u64, Mark);

struct Reader<'a> {
    file: &'a File,
    at: u64,
}

impl Reader<'_> {
    fn head(&mut self) -> Option<Head> {
        if self.take(MAGIC.len())? != MAGIC {
            return None;
        }
        let (count, entries) = (self.u32()?, self.u32()?);
        let mark = Mark { place: self.u64()?, changed: self.u64()? };
        if count > MOST_PACKAGES {
            return None;
        }
        let mut packages = Vec::new();
        for _ in 0..count {
            let (installed, records) = (self.u64()?, self.u64()?);
            packages.push(Noted { name: self.text()?, version: self.text()?, installed, records });
        }
        Some((packages, u64::from(entries), mark))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
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

pub(super) fn key(path: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(path).into();
    let (first, _) = digest.split_first_chunk::<8>().expect("a digest has 32 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::super::dpkg::Dpkg;
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
        for path in [&b"/bin/nano"[..], b"/usr/bin/nano", b"/etc/nanorc"] {
            let owner = index.owner(path).unwrap();
            assert_eq!((&owner.name[..], &owner.version[..]), (&b"nano"[..], &b"7.2"[..]));
        }
        assert_eq!((index.owner(b"/etc/old"), index.owner(b"/etc/passwd")), (None, None));
        assert_eq!((index.packages().len(), index.mark), (1, dpkg.mark()));
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
