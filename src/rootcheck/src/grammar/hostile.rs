//! Tests: bytes that nobody would write on purpose, through the three grammars.

use crate::grammar::policy::{Policy, Subject};
use crate::grammar::rootkits::Rootkits;
use crate::grammar::trojans::Trojans;

const SEEDS: [&[u8]; 3] = [
    b"# files\ntmp/.x ! Demo kit ::/ref\n*/k.so ! Any ::\n",
    b"ls !^/dev/x[a-z]{1,3}|(b|c)+! comment\n/usr/bin/t !\\.x[[:digit:]]! \n",
    b"$v=/a,/b;\n[t] [any] [r]\nf:$v -> !r:^# && r:x\\s+y;\n[u] [all required] []\nd:/c -> .php$ -> r:e;\n!p:<:z;\nr:k;\n",
];

fn read_everything(text: &[u8]) {
    let files = Rootkits::parse(text);
    assert!(files.files.iter().chain(&files.anywhere).all(|file| !file.path.is_empty()));
    for signature in Trojans::parse(text).signatures {
        signature.ere.is_match(text);
    }
    for entry in Policy::parse(text).entries {
        for value in entry.values {
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

#[test]
fn every_truncation_is_read_without_panic() {
    for seed in SEEDS {
        for cut in 0..=seed.len() {
            read_everything(&seed[..cut]);
        }
    }
}

#[test]
fn mutated_lists_never_panic() {
    let mut state = 0x5eed_u64;
    let mut below = |limit: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % limit
    };
    for round in 0..3_000 {
        let mut text = SEEDS[round % SEEDS.len()].to_vec();
        for _ in 0..=below(4) {
            let (at, byte) = (below(text.len()), b"!$[]{}()|*?+\\^:;,\n\0\xff->&"[below(23)]);
            match below(3) {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        read_everything(&text);
    }
}
