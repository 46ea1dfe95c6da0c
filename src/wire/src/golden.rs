//! The recorded datagrams of the reference programs, opened and made again; skipped where the records are absent.

use std::path::PathBuf;

use serde_json::Value;

mod vectors;

/// A recorded file, or `None` (said once) where there is none.
pub(crate) fn load(name: &str) -> Option<Value> {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
    let folder = std::env::var_os("GOLDEN_DIR").map_or(PathBuf::from(fallback), PathBuf::from);
    let path = folder.join("wire").join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        println!("skipped: no recorded file {}", path.display());
        return None;
    };
    Some(serde_json::from_slice(&bytes).expect("recorded file is JSON"))
}

/// Bytes of a hex field.
pub(crate) fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("hex is text").as_bytes();
    let digit = |b: u8| u8::try_from(char::from(b).to_digit(16).expect("hex digit")).unwrap();
    text.chunks_exact(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
}
