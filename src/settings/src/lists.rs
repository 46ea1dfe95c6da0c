//! Where lists come from: their text, or what `ossec-makelists` compiled from it when only that is there.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// `<path>.cdb`, the compiled form of a list.
pub fn compiled_path(text: &Path) -> PathBuf {
    let mut name = OsString::from(text);
    name.push(".cdb");
    name.into()
}

/// The text of a list. When there is no text, that of its compiled form; when there are both, the text counts, and
/// nobody has to compile it.
///
/// # Errors
/// When neither can be read, or the compiled form is damaged.
pub fn read_list(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Ok(compiled) = fs::read(compiled_path(path)) else { return Err(error) };
            cdb::to_text(&compiled).map_err(io::Error::other)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_counts_and_without_it_the_compiled_form() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        assert_eq!(read_list(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let compiled = cdb::write([(&b"bob"[..], &b"admin"[..])]).unwrap();
        fs::write(dir.path().join("users.cdb"), &compiled).unwrap();
        assert_eq!(read_list(&path).unwrap(), b"bob:admin\n");
        fs::write(dir.path().join("users.cdb"), &compiled[..2048]).unwrap();
        assert!(read_list(&path).unwrap_err().to_string().contains("damaged"));
        fs::write(&path, "eve:guest\n").unwrap();
        assert_eq!(read_list(&path).unwrap(), b"eve:guest\n");
    }
}
