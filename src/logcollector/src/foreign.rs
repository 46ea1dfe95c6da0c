//! The readers of bytes that others wrote, as the fuzz targets call them.

use crate::export::{Entry, Reader};
use crate::journal;

/// Whether `journalctl`'s export reads the same in one piece and cut in two at `cut`.
pub fn export_reads_the_same(bytes: &[u8], cut: usize) -> bool {
    let (head, tail) = bytes.split_at(cut.min(bytes.len()));
    let read = |pieces: &[&[u8]]| {
        let (mut reader, mut entries) = (Reader::default(), Vec::<Entry>::new());
        for piece in pieces {
            reader.feed(piece, &mut entries);
        }
        entries
    };
    read(&[bytes]) == read(&[head, tail])
}

/// Whether the file of positions is good up to a place within it, and that part by itself reads the same.
pub fn positions_read_the_same(content: &[u8]) -> bool {
    let (entries, good) = journal::read(content);
    content.get(..good).is_some_and(|part| journal::read(part) == (entries, good))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutated_bytes_read_the_same_however_they_are_cut() {
        let mut text = b"__CURSOR=s=1\n_HOSTNAME=w\nMESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n\n".to_vec();
        let mut seed = 11_u32;
        for _ in 0..5000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = seed as usize % text.len();
            text[at] = (seed >> 24) as u8;
            assert!(export_reads_the_same(&text, (seed >> 8) as usize % text.len()), "{text:?}");
            assert!(positions_read_the_same(&text), "{text:?}");
        }
    }
}
