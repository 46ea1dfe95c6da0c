//! The order to respond, as analysisd (or agentd) sends it: one datagram on `queue/alerts/execq`.
//!
//! Shape: `<name> <user|-> <address|-> <alert id> <rule id> <location> <file|->`, split at single spaces, for
//! instance `firewall-drop600 - 10.1.1.1 1795219834.1 5716 web->/var/log/auth.log -`. A location with spaces
//! becomes several arguments; the scripts have always got it so. A NUL ends the message.

use std::fmt;

/// Arguments beyond this many are cut off, as the original does.
pub const MAX_ARGUMENTS: usize = 32;

/// Largest datagram that is read, in bytes; a longer one is refused whole, never run in part.
pub const MAX_MESSAGE: usize = 65_536;

/// One order, borrowed from the datagram.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Which line of ar.conf is meant: command name and timeout in one word (`firewall-drop600`).
    pub name: &'a [u8],
    /// What the script gets after `add`: user, address, alert id, rule id, location, file.
    pub arguments: Vec<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Reads one datagram; see [`MessageError`] for what can be wrong with it.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, MessageError> {
        if datagram.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong);
        }
        let text = datagram.split(|&byte| byte == 0).next().unwrap_or_default();
        // Arguments reach a script's log file and perhaps a careless script's command line.
        if text.iter().any(u8::is_ascii_control) {
            return Err(MessageError::ControlByte);
        }
        let mut words = text.split(|&byte| byte == b' ');
        let name = words.next().unwrap_or_default();
        let arguments: Vec<&[u8]> = words.take(MAX_ARGUMENTS).collect();
        if name.is_empty() || arguments.is_empty() {
            return Err(MessageError::NoArguments);
        }
        if arguments.iter().take(2).any(|who| who.len() > 1 && who.starts_with(b"-")) {
            return Err(MessageError::LooksLikeAnOption);
        }
        Ok(Self { name, arguments })
    }
}

/// Why a datagram is not an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageError {
    /// Longer than [`MAX_MESSAGE`].
    TooLong,
    /// A newline, a tab or another control byte inside.
    ControlByte,
    /// A name alone, or nothing.
    NoArguments,
    /// User or address begins with a dash: a program behind the script would take it for an option.
    LooksLikeAnOption,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "it is longer than 65536 bytes",
            Self::ControlByte => "it has a control byte inside",
            Self::NoArguments => "it lacks '<name> <user> <address>'",
            Self::LooksLikeAnOption => "its user or address begins with a dash",
        })
    }
}

impl std::error::Error for MessageError {}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &[u8] =
        b"test-ar0 bob 10.1.1.1 1795219834.2 5716 (web|01) 10.0.0.7->/var/log/auth.log /etc/passwd";

    #[test]
    fn a_location_with_a_space_becomes_two_arguments() {
        let message = Message::parse(ORDER).unwrap();
        assert_eq!(message.name, b"test-ar0");
        assert_eq!(message.arguments.len(), 7);
        assert_eq!(message.arguments[4], b"(web|01)");
    }

    #[test]
    fn the_trailing_nul_of_c_programs_is_no_part_of_it() {
        let message = Message::parse(b"a - 10.0.0.1\0").unwrap();
        assert_eq!(message.arguments, [b"-".as_slice(), b"10.0.0.1"]);
    }

    #[test]
    fn a_name_alone_is_refused() {
        for text in [b"nospace".as_slice(), b"", b"\0", b" ", b" x y"] {
            assert_eq!(Message::parse(text), Err(MessageError::NoArguments), "{text:?}");
        }
    }

    #[test]
    fn an_option_in_the_place_of_a_user_is_refused() {
        assert_eq!(Message::parse(b"lock0 -d - 1.1 2 l -"), Err(MessageError::LooksLikeAnOption));
        assert_eq!(
            Message::parse(b"drop0 - --flush 1.1 2 l -"),
            Err(MessageError::LooksLikeAnOption)
        );
    }

    #[test]
    fn control_bytes_are_refused() {
        assert_eq!(Message::parse(b"a - 1.1.1.1\nb"), Err(MessageError::ControlByte));
    }

    #[test]
    fn more_than_32_arguments_are_cut_off() {
        let long = format!("a - 1.1.1.1{}", " x".repeat(100));
        assert_eq!(Message::parse(long.as_bytes()).unwrap().arguments.len(), MAX_ARGUMENTS);
        assert_eq!(Message::parse(&vec![b'x'; MAX_MESSAGE + 1]), Err(MessageError::TooLong));
    }

    #[test]
    fn every_truncation_and_mutation_is_an_order_or_an_error() {
        for len in 0..ORDER.len() {
            let _ = Message::parse(&ORDER[..len]);
        }
        let mut seed = 1u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut bytes = ORDER.to_vec();
            let at = (seed >> 8) as usize % bytes.len();
            bytes[at] = (seed >> 24) as u8;
            if let Ok(message) = Message::parse(&bytes) {
                assert!(
                    message.arguments.iter().flat_map(|a| a.iter()).all(|b| !b.is_ascii_control())
                );
            }
        }
    }
}
