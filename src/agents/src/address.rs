//! The address field of client.keys: from where an agent may speak.
//!
//! ```text
//! any   10.9.1.11   10.9.2.0/24   fd00:9::11   fd00:9::/64   !10.0.0.1   (! negates)
//! ```
//! Names aren't resolved; dotted netmasks are not part of the format. A prefix of 0 matches every address of both families.

use std::fmt;
use std::net::IpAddr;

/// One address form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    text: Box<str>,
    is_negated: bool,
    /// `None`: `any`.
    network: Option<(IpAddr, u8)>,
}

impl Address {
    /// Reads a form.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &[u8]) -> Result<Self, AddressError> {
        let text = std::str::from_utf8(text).map_err(|_| AddressError)?;
        let form = text.strip_prefix('!');
        let (is_negated, form) = (form.is_some(), form.unwrap_or(text));
        if form == "any" {
            return Ok(Self { text: text.into(), is_negated, network: None });
        }
        let (address, prefix) = match form.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (form, None),
        };
        let address: IpAddr = address.parse().map_err(|_| AddressError)?;
        let most = host_prefix(address);
        let prefix = match prefix {
            None => most,
            Some(digits)
                if (1..=3).contains(&digits.len())
                    && digits.bytes().all(|b| b.is_ascii_digit()) =>
            {
                digits.parse().ok().filter(|prefix| *prefix <= most).ok_or(AddressError)?
            }
            Some(_) => return Err(AddressError),
        };
        Ok(Self { text: text.into(), is_negated, network: Some((address, prefix)) })
    }

    /// The form `any`.
    pub fn any() -> Self {
        Self { text: "any".into(), is_negated: false, network: None }
    }

    /// The form as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The form up to its `/`, as file names and locations have it.
    pub fn stored(&self) -> &str {
        self.text.split('/').next().unwrap_or_default()
    }

    /// The form with its prefix, as the tools show it: `any/0`, `10.9.1.11/32`.
    pub fn with_prefix(&self) -> String {
        format!("{}/{}", self.stored(), self.network.map_or(0, |(_, prefix)| prefix))
    }

    /// Whether it is one host: such an agent needs no id in front of its datagrams.
    pub fn is_single_host(&self) -> bool {
        self.network.is_some_and(|(address, prefix)| prefix == host_prefix(address))
    }

    /// Whether it is an address without negation and without `/`, as `local_ip` and `server-ip` need it.
    pub fn plain(&self) -> Option<IpAddr> {
        let (address, _) = self.network?;
        (!self.is_negated && !self.text.contains('/')).then_some(address)
    }

    /// Whether the form begins with `!`.
    pub fn is_negated(&self) -> bool {
        self.is_negated
    }

    /// Whether `source` may speak; an IPv4-mapped IPv6 source counts as IPv4.
    pub fn matches(&self, source: IpAddr) -> bool {
        let is_inside = match self.network {
            None | Some((_, 0)) => true,
            Some((network, prefix)) => {
                shares_prefix(network.to_canonical(), source.to_canonical(), prefix)
            }
        };
        is_inside != self.is_negated
    }

    /// The address by which datagrams without an id find this entry: its own, whatever its prefix.
    pub fn base(&self) -> Option<IpAddr> {
        self.network.filter(|_| !self.is_negated).map(|(address, _)| address.to_canonical())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn shares_prefix(network: IpAddr, source: IpAddr, prefix: u8) -> bool {
    match (network, source) {
        (IpAddr::V4(network), IpAddr::V4(source)) => {
            let differing = network.to_bits() ^ source.to_bits();
            differing.leading_zeros() >= u32::from(prefix.min(32))
        }
        (IpAddr::V6(network), IpAddr::V6(source)) => {
            let differing = network.to_bits() ^ source.to_bits();
            differing.leading_zeros() >= u32::from(prefix)
        }
        _ => false,
    }
}

/// Not an address form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressError;

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an agent's address is 'any', an IP address, or one with a prefix as in 10.9.2.0/24",
        )
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Address {
        Address::parse(text.as_bytes()).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn forms_match_as_specified() {
        for (text, source, expected) in [
            ("any", "10.0.0.1", true),
            ("any", "fd00::1", true),
            ("!any", "10.0.0.1", false),
            ("10.9.1.11", "10.9.1.11", true),
            ("10.9.1.11", "::ffff:10.9.1.11", true),
            ("10.9.1.11", "10.9.1.12", false),
            ("10.9.2.0/24", "10.9.2.77", true),
            ("10.9.2.0/24", "10.9.3.77", false),
            ("1.2.3.4/0", "fd00::1", true),
            ("!10.0.0.1", "10.0.0.2", true),
            ("!10.0.0.1", "10.0.0.1", false),
            ("fd00:9::/64", "fd00:9::11", true),
            ("fd00:9::/64", "fd00:8::11", false),
            ("fd00:9::1", "10.0.0.1", false),
        ] {
            assert_eq!(form(text).matches(ip(source)), expected, "{text} {source}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for bad in [
            "",
            "!",
            "any/24",
            "!!any",
            "10.0.0",
            "10.0.0.1/33",
            "10.0.0.1/",
            "10.0.0.1/255.255.255.0",
            "10.0.0.1/x",
            "10.0.0.1/-1",
            "::1/129",
            "web01",
            "10.0.0.1 ",
            "10.0.0.1/24/8",
        ] {
            assert_eq!(Address::parse(bad.as_bytes()), Err(AddressError), "{bad}");
        }
        assert!(Address::parse(b"\xff").is_err());
    }

    #[test]
    fn single_hosts_and_texts() {
        assert!(form("10.0.0.1/32").is_single_host() && form("fd00::1").is_single_host());
        assert!(!form("any").is_single_host() && !form("10.0.0.0/8").is_single_host());
        assert_eq!(form("10.9.2.0/24").stored(), "10.9.2.0");
        assert_eq!(form("any").with_prefix(), "any/0");
        assert_eq!(form("10.9.1.11").with_prefix(), "10.9.1.11/32");
        assert_eq!(form("10.9.2.0/24").base(), Some(ip("10.9.2.0")));
        assert_eq!(form("!10.9.2.0").base(), None);
        assert_eq!(form("10.9.2.0/32").plain(), None);
    }
}
