//! The agent's spool as a kill, a full disk or a bad one left it: what opens can be read to its end, taken further, and
//! opens again with the same events. The first byte says how the rest is shared between a segment and the position.
#![no_main]

use std::fs;
use std::path::PathBuf;

use agentd::spool::{Limits, Spool};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { bytes: 1 << 20, age: 3600 };

fn events(folder: &PathBuf) -> (Spool, Vec<Vec<u8>>) {
    let (mut spool, _) = Spool::open(folder, LIMITS).expect("a folder that can be written");
    let (mut all, mut event) = (Vec::new(), Vec::new());
    while let Some(_number) = spool.next(&mut event).expect("a segment that was just walked") {
        all.push(event.clone());
    }
    (spool, all)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((at, rest)) = bytes.split_first() else { return };
    let (position, segment) = rest.split_at(usize::from(*at).min(rest.len()));
    let folder = std::env::temp_dir().join(format!("oxsec-fuzz-spool-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).expect("a folder of our own");
    fs::write(folder.join("position"), position).expect("position");
    let mut content = b"oxsec-spool 1\n".to_vec();
    content.extend_from_slice(segment);
    fs::write(folder.join("00000000000000000001.log"), content).expect("segment");

    let (mut spool, mut expected) = events(&folder);
    spool.append(b"1:fuzz:one more", 7);
    spool.commit(&[], 7).expect("room for one more");
    drop(spool);
    expected.push(b"1:fuzz:one more".to_vec());
    assert_eq!(events(&folder).1, expected);
});
