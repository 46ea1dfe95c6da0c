//! Extended attributes of a file: an access list, and a list of names with their values. Whoever owns a file writes both.
#![no_main]

use fim::extra::{self, Extra, Writer};
use libfuzzer_sys::fuzz_target;
use syscheckd::extras::{access_list, digests};

fuzz_target!(|bytes: &[u8]| {
    let list = access_list(bytes);
    if let Some(again) = encoded(&list) {
        assert_eq!(access_list(&again), list, "the words stand for what they say");
    }
    let value = |name: &[u8]| (name.len() % 7 != 0).then(|| name.to_vec());
    let text = digests(bytes, value);
    // What the words tell are the names that were there.
    let told = text.split(|&byte| byte == b',').filter(|word| !word.is_empty()).map(|word| {
        let (name, digest) = word.split_at(word.iter().position(|&b| b == b'=').expect("a digest"));
        let name = unescaped(name);
        assert_eq!(digest == b"=unreadable", value(&name).is_none());
        name
    });
    let own = [&b""[..], b"security.capability", b"security.selinux"];
    let mut names: Vec<Vec<u8>> = bytes
        .split(|&byte| byte == 0)
        .filter(|name| !name.starts_with(b"system.") && !own.contains(name))
        .map(<[u8]>::to_vec)
        .collect();
    names.sort();
    assert_eq!(told.collect::<Vec<_>>(), names);
    let mut writer = Writer::default();
    writer.put(Extra::Acl, list.as_bytes());
    writer.put(Extra::Xattr, &text);
    writer.put(Extra::Capabilities, bytes);
    let field = writer.finish();
    assert!(field.iter().all(|&byte| byte > b' ' && byte != b':' && byte < 0x7f), "one word");
    for attribute in [Extra::Acl, Extra::Xattr, Extra::Capabilities] {
        assert!(extra::value(&field, attribute).is_some());
    }
});

/// The access list that these words stand for.
fn encoded(words: &str) -> Option<Vec<u8>> {
    let mut list = vec![2, 0, 0, 0];
    for word in words.split(',').filter(|_| words.contains("::") || words.contains("user:")) {
        let (who, may) = word.rsplit_once(':')?;
        let (tag, number) = match who.split_once(':')? {
            ("user", "") => (1_u16, u32::MAX),
            ("user", number) => (2, number.parse().ok()?),
            ("group", "") => (4, u32::MAX),
            ("group", number) => (8, number.parse().ok()?),
            ("mask", "") => (16, u32::MAX),
            ("other", "") => (32, u32::MAX),
            _ => panic!("'{word}'"),
        };
        let bits = may.bytes().zip([4_u16, 2, 1]).filter(|(letter, _)| *letter != b'-');
        let may: u16 = bits.map(|(_, bit)| bit).sum();
        list.extend(tag.to_le_bytes());
        list.extend(may.to_le_bytes());
        list.extend(number.to_le_bytes());
    }
    (list.len() > 4).then_some(list)
}

fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        match (byte, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let digits = String::from_utf8(vec![*high, *low]).expect("digits");
                plain.push(u8::from_str_radix(&digits, 16).expect("digits"));
                rest = behind;
            }
            _ => {
                plain.push(byte);
                rest = behind;
            }
        }
    }
    plain
}
