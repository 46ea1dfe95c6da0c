//! Addresses in rules: `<srcip>!10.0.0.0/8</srcip>`, in a list of which the first entry that fits decides.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The entries of one rule for one address field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AddressList {
    entries: Vec<Entry>,
}

/// One entry: a network, `any`, either with `!` in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    negated: bool,
    network: Network,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Any,
    V4 { base: u32, bits: u32 },
    V6 { base: u128, bits: u32 },
}

impl AddressList {
    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Whether the list takes this address; text that is no address is taken by no list.
    pub(crate) fn contains(&self, text: &[u8]) -> bool {
        let Some(address) = address(text) else { return false };
        for entry in &self.entries {
            if entry.network.contains(address) {
                return !entry.negated;
            }
        }
        self.entries.last().is_some_and(|last| last.negated)
    }
}

impl fmt::Display for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Entry { negated, network }) in self.entries.iter().enumerate() {
            let before = if at > 0 { ", " } else { "" };
            write!(f, "{before}{}", if *negated { "!" } else { "" })?;
            match *network {
                Network::Any => f.write_str("any")?,
                Network::V4 { base, bits } => write!(f, "{}/{bits}", Ipv4Addr::from(base))?,
                Network::V6 { base, bits } => write!(f, "{}/{bits}", Ipv6Addr::from(base))?,
            }
        }
        Ok(())
    }
}

impl Entry {
    /// Reads `[!]addr[/prefix]` or `[!]any`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (negated, text) = match text.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        Some(Self { negated, network: Network::parse(text)? })
    }
}

impl Network {
    fn parse(text: &[u8]) -> Option<Self> {
        if text == b"any" {
            return Some(Self::Any);
        }
        let (base, prefix) = match memchr::memchr(b'/', text) {
            Some(slash) => (text.get(..slash)?, Some(number(text.get(slash + 1..)?)?)),
            None => (text, None),
        };
        Some(match parse_numeric(base)? {
            // Not one bit is compared, so the family is not either.
            _ if prefix == Some(0) => Self::Any,
            IpAddr::V4(base) => {
                let bits = prefix.unwrap_or(32);
                (bits <= 32).then_some(Self::V4 { base: u32::from(base), bits })?
            }
            IpAddr::V6(base) => {
                let bits = prefix.unwrap_or(128);
                (bits <= 128).then(|| Self::mapped(base, bits))?
            }
        })
    }

    /// A network of IPv4 addresses written as IPv6 ones is one of IPv4.
    fn mapped(base: Ipv6Addr, bits: u32) -> Self {
        match base.to_ipv4_mapped() {
            Some(base) if bits >= 96 => Self::V4 { base: u32::from(base), bits: bits - 96 },
            _ => Self::V6 { base: u128::from(base), bits },
        }
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Any, _) => true,
            (Self::V4 { base, bits }, IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                (base ^ u32::from(address)) & mask == 0
            }
            (Self::V6 { base, bits }, IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                (base ^ u128::from(address)) & mask == 0
            }
            _ => false,
        }
    }
}

/// An address as events have it; IPv4 inside IPv6 counts as IPv4.
fn address(text: &[u8]) -> Option<IpAddr> {
    Some(match parse_numeric(text)? {
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => IpAddr::V4(mapped),
            None => IpAddr::V6(address),
        },
        v4 => v4,
    })
}

/// What the C library's numeric resolver takes: also `10.1` for 10.0.0.1.
fn parse_numeric(text: &[u8]) -> Option<IpAddr> {
    const LONGEST: usize = 64;
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    if text.contains(':') {
        let text = text.split_once('%').map_or(text, |(address, _)| address);
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    short_v4(text).map(IpAddr::V4)
}

/// One to four parts, the last of which fills what is left; decimal, `0x` or octal.
fn short_v4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = [0_u32; 4];
    let mut count = 0;
    for part in text.split('.') {
        *parts.get_mut(count)? = c_number(part)?;
        count += 1;
    }
    let (last, front) = parts.get(..count)?.split_last()?;
    let width = 32 - 8 * u32::try_from(front.len()).ok()?;
    if front.iter().any(|&part| part > 255) || (width < 32 && last >> width != 0) {
        return None;
    }
    let mut address = *last;
    for (n, part) in (0_u32..).zip(front) {
        address |= part << (24 - 8 * n);
    }
    Some(Ipv4Addr::from(address))
}

fn c_number(part: &str) -> Option<u32> {
    let (digits, radix) = match part.as_bytes() {
        [b'0', b'x' | b'X', ..] => (part.get(2..)?, 16),
        [b'0', _, ..] => (part.get(1..)?, 8),
        _ => (part, 10),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

/// A prefix length: one to three digits.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AddressList {
        let mut list = AddressList::default();
        for entry in entries {
            list.push(Entry::parse(entry.as_bytes()).unwrap());
        }
        list
    }

    #[test]
    fn the_first_entry_that_fits_decides_and_the_last_for_the_rest() {
        let mixed = list(&["!10.1.0.0/16", "10.0.0.0/8"]);
        assert!(!mixed.contains(b"10.1.2.3"));
        assert!(mixed.contains(b"10.2.2.3"));
        assert!(!mixed.contains(b"11.0.0.1"));
        assert!(list(&["!10.1.0.0/16"]).contains(b"11.0.0.1"));
    }

    #[test]
    fn mapped_and_short_addresses_are_ipv4() {
        assert!(list(&["10.0.0.0/8"]).contains(b"::ffff:10.1.1.1"));
        assert!(list(&["10.0.0.1"]).contains(b"10.1"));
        assert!(!list(&["any"]).contains(b"no address"));
        assert!(list(&["any"]).contains(b"::1"));
    }

    #[test]
    fn wrong_prefixes_are_no_entries() {
        for text in ["10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.0.0.0/", "::/129", "x", ""] {
            assert_eq!(Entry::parse(text.as_bytes()), None, "{text}");
        }
    }
}
