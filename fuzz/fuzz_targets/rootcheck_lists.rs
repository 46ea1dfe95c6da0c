//! Rootcheck's lists: what a manager or an administrator may put into etc/shared.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rootcheck::grammar::policy::{Policy, Subject};
use rootcheck::grammar::rootkits::Rootkits;
use rootcheck::grammar::trojans::Trojans;

fuzz_target!(|bytes: &[u8]| {
    // The first byte chooses the list, the rest up to a zero byte is the list, then comes a text to match.
    let Some((kind, rest)) = bytes.split_first() else { return };
    let at = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
    let (list, text) = rest.split_at(at);
    match kind % 3 {
        0 => {
            let list = Rootkits::parse(list);
            assert!(list.files.iter().all(|file| !file.path.starts_with(b"/")));
        }
        1 => {
            for signature in Trojans::parse(list).signatures {
                signature.ere.is_match(text);
            }
        }
        _ => {
            for value in Policy::parse(list).entries.into_iter().flat_map(|entry| entry.values) {
                match value.subject {
                    Subject::File { paths, pattern } | Subject::Folder { paths, pattern, .. } => {
                        assert!(paths.iter().all(|path| path.starts_with(b"/")));
                        pattern.map(|pattern| pattern.holds(text.split(|&b| b == b'\n')));
                    }
                    Subject::Process(pattern) => drop(pattern.holds_on(text)),
                    Subject::Registry => {}
                }
            }
        }
    }
});
