//! A snapshot of the baseline for the worker, which looks at files while the owner goes on writing.

use std::io;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{Mark, Record, Tables, failed, file_key, record};
use crate::plan::{is_below, join, split};

/// One snapshot.
pub struct Reader(Tables);

impl Reader {
    pub(super) fn new(database: &Database) -> io::Result<Self> {
        let reading = database.begin_read().map_err(failed)?;
        Ok(Self(Tables::open(&reading).map_err(failed)?))
    }

    /// The files directly in a folder, by name. What can't be read is not known.
    pub fn folder(&self, folder: &[u8]) -> Vec<(Vec<u8>, Mark)> {
        self.folder_records(folder, record::mark).unwrap_or_default()
    }

    /// What the last look at a file left behind.
    pub fn file(&self, path: &[u8]) -> Option<Mark> {
        let (folder, name) = split(path);
        let id = self.0.folders.get(folder).ok()??.value();
        let found = self.0.files.get(&*file_key(id, name)).ok()??;
        record::mark(found.value())
    }

    /// How large a file was told to be.
    pub fn size(&self, path: &[u8]) -> Option<u64> {
        let (folder, name) = split(path);
        let id = self.0.folders.get(folder).ok()??.value();
        let found = self.0.files.get(&*file_key(id, name)).ok()??;
        Record::decode(found.value())?.attributes.size
    }

    /// The folder itself and all below it that hold a known file.
    pub fn folders_below(&self, folder: &[u8]) -> Vec<Vec<u8>> {
        let Ok(found) = self.0.folders.range(folder..) else { return Vec::new() };
        // `/a.txt` and `/a/b` both begin with `/a`; neighbours end where the beginning does.
        let near = found.filter_map(Result::ok).map(|(path, _)| path.value().to_vec());
        let near = near.take_while(|path| path.starts_with(folder));
        near.filter(|path| path == folder || is_below(folder, path)).collect()
    }

    /// Everything, folder by folder.
    pub(super) fn each(&self, each: &mut impl FnMut(&[u8], &Record)) -> io::Result<()> {
        for found in self.0.folders.iter().map_err(failed)? {
            let (folder, _) = found.map_err(failed)?;
            let folder = folder.value().to_vec();
            for (name, record) in self.folder_records(&folder, Record::decode)? {
                each(&join(&folder, &name), &record);
            }
        }
        Ok(())
    }

    fn folder_records<T>(
        &self,
        folder: &[u8],
        decode: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<Vec<(Vec<u8>, T)>> {
        let id = self.0.folders.get(folder).map_err(failed)?.map(|id| id.value());
        let Some(id) = id else { return Ok(Vec::new()) };
        let from = id.to_be_bytes();
        let upto = id.checked_add(1).map(u32::to_be_bytes);
        let found = match &upto {
            Some(upto) => self.0.files.range::<&[u8]>(from.as_slice()..upto.as_slice()),
            None => self.0.files.range::<&[u8]>(from.as_slice()..),
        };
        let mut records = Vec::new();
        for entry in found.map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let name = key.value().get(from.len()..).unwrap_or_default().to_vec();
            records.extend(decode(value.value()).map(|record| (name, record)));
        }
        Ok(records)
    }
}
