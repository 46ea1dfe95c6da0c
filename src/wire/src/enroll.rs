//! Question and answer of enrolment, one of each on a TLS connection.
//!
//! ```text
//! OSSEC A:'web01'\n                              without password
//! OSSEC PASS: sekret OSSEC A:'web01'\n           with password
//!
//! OSSEC K:'1024 web01 any 5571...55c1'\n\n
//! ERROR: Invalid agent name: web 01\n\nERROR: Unable to add agent.\n\n
//! ```

use std::fmt;
use std::net::IpAddr;

/// Largest question and largest answer in bytes.
pub const MAX_TEXT: usize = 4096;
/// Digits of a key.
pub const KEY_LEN: usize = 64;

const ASK: &[u8] = b"OSSEC A:'";
const PASS: &[u8] = b"OSSEC PASS: ";
const KEY: &[u8] = b"OSSEC K:'";
const ERROR: &[u8] = b"ERROR: ";
const UNABLE: &[u8] = b"ERROR: Unable to add agent.\n\n";

/// An agent's question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The whole password, without a newline.
    pub password: Option<&'a [u8]>,
    /// The name that the agent wants.
    pub name: &'a [u8],
}

impl<'a> Question<'a> {
    /// Reads a question to a server with this password (`None`: it wants none). What is behind the name's quote is ignored;
    /// the name still has to be checked, see [`is_agent_name`].
    ///
    /// # Errors
    /// [`QuestionError`]; the server answers nothing then and closes.
    pub fn parse(text: &'a [u8], expected: Option<&'a [u8]>) -> Result<Self, QuestionError> {
        let behind = match expected {
            None => text,
            Some(expected) => {
                let behind = text.strip_prefix(PASS).ok_or(QuestionError::Password)?;
                let given = behind.get(..expected.len()).ok_or(QuestionError::Password)?;
                let behind = behind[expected.len()..].strip_prefix(b" ");
                // One verdict for both, so that the time tells nothing about the password.
                match (same(given, expected), behind) {
                    (true, Some(behind)) => behind,
                    _ => return Err(QuestionError::Password),
                }
            }
        };
        let name = behind.strip_prefix(ASK).ok_or(QuestionError::Malformed)?;
        let end = memchr::memchr(b'\'', name).ok_or(QuestionError::Malformed)?;
        Ok(Self { password: expected, name: &name[..end] })
    }

    /// Whether no more bytes have to be awaited before [`parse`](Self::parse).
    pub fn is_complete(text: &[u8]) -> bool {
        memchr::memchr(b'\n', text).is_some() || text.len() >= MAX_TEXT
    }

    /// Appends the question.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some(password) = self.password {
            for part in [PASS, password, b" "] {
                out.extend_from_slice(part);
            }
        }
        for part in [ASK, self.name, b"'\n"] {
            out.extend_from_slice(part);
        }
    }
}

impl fmt::Debug for Question<'_> {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({:?})", String::from_utf8_lossy(self.name))
    }
}

/// Why a question gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionError {
    /// None, or another one.
    Password,
    /// Not of the form above.
    Malformed,
}

impl fmt::Display for QuestionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "enrolment request without the right password",
            Self::Malformed => "enrolment request is not \"OSSEC A:'name'\"",
        })
    }
}

impl std::error::Error for QuestionError {}

/// A server's answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The agent's line of client.keys, without newline.
    Key(&'a [u8]),
    /// The name is not allowed, or it and all its numbered variants are taken.
    InvalidName(&'a [u8]),
    /// Another agent, with this id, has the source address.
    AddressTaken(&'a [u8]),
    /// The manager could not, for this name.
    Internal(&'a [u8]),
    /// Some other error text (without `ERROR: `).
    Error(&'a [u8]),
}

const INVALID_NAME: &[u8] = b"Invalid agent name: ";
const ADDRESS_TAKEN: &[u8] = b"Invalid IP address: ";
const INTERNAL: &[u8] = b"Internal manager error adding agent: ";

impl<'a> Answer<'a> {
    /// Reads an answer. A key's line is still to be read with [`KeyLine::parse`].
    ///
    /// # Errors
    /// [`AnswerError::Incomplete`] until its two newlines (or its closing quote) have come; [`AnswerError::Malformed`].
    pub fn parse(text: &'a [u8]) -> Result<Self, AnswerError> {
        if let Some(line) = text.strip_prefix(KEY) {
            let end = memchr::memchr2(b'\'', b'\n', line).ok_or(AnswerError::Incomplete)?;
            return match line[end] {
                b'\'' => Ok(Self::Key(&line[..end])),
                _ => Err(AnswerError::Malformed),
            };
        }
        if let Some(error) = text.strip_prefix(ERROR) {
            let end = memchr::memmem::find(error, b"\n\n").ok_or(AnswerError::Incomplete)?;
            let error = &error[..end];
            let strip = |prefix| error.strip_prefix(prefix);
            return Ok(strip(INVALID_NAME)
                .map(Self::InvalidName)
                .or_else(|| strip(ADDRESS_TAKEN).map(Self::AddressTaken))
                .or_else(|| strip(INTERNAL).map(Self::Internal))
                .unwrap_or(Self::Error(error)));
        }
        let could_become = |whole: &[u8]| whole.starts_with(text);
        if could_become(KEY) || could_become(ERROR) {
            return Err(AnswerError::Incomplete);
        }
        Err(AnswerError::Malformed)
    }

    /// Appends the answer.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        match self {
            Self::Key(line) => put(&[KEY, line, b"'\n\n"]),
            Self::InvalidName(name) => put(&[ERROR, INVALID_NAME, name, b"\n\n", UNABLE]),
            Self::AddressTaken(id) => put(&[ERROR, ADDRESS_TAKEN, id, b"\n\n", UNABLE]),
            Self::Internal(name) => put(&[ERROR, INTERNAL, name, b"\n\n", UNABLE]),
            Self::Error(text) => put(&[ERROR, text, b"\n\n", UNABLE]),
        }
    }
}

impl fmt::Debug for Answer<'_> {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, text) = match self {
            Self::Key(_) => ("Key", &b"..."[..]),
            Self::InvalidName(name) => ("InvalidName", *name),
            Self::AddressTaken(id) => ("AddressTaken", *id),
            Self::Internal(name) => ("Internal", *name),
            Self::Error(text) => ("Error", *text),
        };
        write!(f, "{what}({:?})", String::from_utf8_lossy(text))
    }
}

/// Why an answer can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerError {
    /// More bytes are to come; when the connection is closed instead: refused without a word.
    Incomplete,
    /// Not an answer.
    Malformed,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "enrolment answer ends too early",
            Self::Malformed => "enrolment answer is neither a key nor an error",
        })
    }
}

impl std::error::Error for AnswerError {}

/// The line of client.keys that an agent is given, checked field by field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyLine<'a> {
    /// 1 to 8 digits.
    pub id: &'a str,
    /// See [`is_agent_name`].
    pub name: &'a str,
    /// `any` or one address.
    pub ip: &'a str,
    /// 64 hex digits.
    pub key: &'a str,
}

impl<'a> KeyLine<'a> {
    /// Reads `id name ip key`; `None` when a field is not what it has to be.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(line).ok()?.split(' ');
        let (id, name) = (fields.next()?, fields.next()?);
        let (ip, key) = (fields.next()?, fields.next()?);
        let good = fields.next().is_none()
            && (1..=8).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_digit())
            && is_agent_name(name.as_bytes())
            && (ip == "any" || ip.parse::<IpAddr>().is_ok())
            && key.len() == KEY_LEN
            && key.bytes().all(|b| b.is_ascii_hexdigit());
        good.then_some(Self { id, name, ip, key })
    }
}

impl fmt::Debug for KeyLine<'_> {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyLine({} {} {})", self.id, self.name, self.ip)
    }
}

/// Whether an agent may be called so: 2 to 128 letters, digits, `-`, `_`, `.`.
pub fn is_agent_name(name: &[u8]) -> bool {
    (2..=128).contains(&name.len())
        && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Compares in a time that depends on the length only.
fn same(given: &[u8], expected: &[u8]) -> bool {
    given.len() == expected.len()
        && given.iter().zip(expected).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn the_password_is_compared_whole() {
        let ask = |password: &str| format!("OSSEC PASS: {password} OSSEC A:'pw'\n");
        let parse = |text: &str, expected| {
            Question::parse(text.as_bytes(), expected).map(|question| question.name.to_vec())
        };
        assert_eq!(parse(&ask("sekret"), Some(b"sekret")), Ok(b"pw".to_vec()));
        for wrong in ["sekre", "sekretX", "", "sekret\n", "Sekret"] {
            assert_eq!(
                parse(&ask(wrong), Some(b"sekret")),
                Err(QuestionError::Password),
                "{wrong}"
            );
        }
        assert_eq!(parse("OSSEC A:'pw'\n", Some(b"sekret")), Err(QuestionError::Password));
        assert_eq!(parse(&ask("zz"), None), Err(QuestionError::Malformed));
    }

    #[test]
    fn every_truncation_of_a_question_is_refused() {
        let mut whole = Vec::new();
        Question { password: Some(b"pw"), name: b"web01" }.write(&mut whole);
        let named = whole.len() - 1;
        for cut in 0..named {
            assert!(Question::parse(&whole[..cut], Some(b"pw")).is_err(), "cut at {cut}");
        }
        assert!(Question::is_complete(&whole) && !Question::is_complete(&whole[..named]));
    }

    #[test]
    fn every_truncation_of_an_answer_waits_for_more() {
        for answer in
            [Answer::Key(b"1 ab any 00"), Answer::AddressTaken(b"001"), Answer::Error(b"x")]
        {
            let mut whole = Vec::new();
            answer.write(&mut whole);
            assert_eq!(Answer::parse(&whole), Ok(answer));
            for cut in 0..whole.len() {
                let read = Answer::parse(&whole[..cut]);
                assert!(read == Ok(answer) || read == Err(AnswerError::Incomplete), "cut at {cut}");
            }
        }
        assert_eq!(Answer::parse(b"HTTP/1.1 400"), Err(AnswerError::Malformed));
    }

    #[test]
    fn only_a_whole_key_line_is_taken() {
        let key = "0123456789abcdef".repeat(4);
        assert!(KeyLine::parse(format!("1024 web01 any {key}").as_bytes()).is_some());
        assert!(KeyLine::parse(format!("1024 web01 fd00:9::1 {key}").as_bytes()).is_some());
        for bad in [
            format!("1024 web01 10.0.0.0/8 {key}"),
            format!("123456789 web01 any {key}"),
            format!("x web01 any {key}"),
            format!("1 w/b any {key}"),
            format!("1 web01 any {key}0"),
            format!("1 web01 any {key} "),
            "1 web01 any".to_owned(),
        ] {
            assert_eq!(KeyLine::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn golden_enrolment_is_read_and_written_as_recorded() {
        let Some(file) = golden::load("enrolment.json") else { return };
        let mut wrong = Vec::new();
        for row in file["exchanges"].as_array().unwrap() {
            let request = row["request"].as_str().unwrap().as_bytes();
            let response = row["response"].as_str().unwrap().as_bytes();
            let password = row["password"].as_str().map(str::as_bytes);
            let question = Question::parse(request, password);
            let good = match (&question, Answer::parse(response)) {
                (Err(_), answer) => response.is_empty() && answer == Err(AnswerError::Incomplete),
                (Ok(question), Ok(answer)) => {
                    let (mut asked, mut answered) = (Vec::new(), Vec::new());
                    question.write(&mut asked);
                    answer.write(&mut answered);
                    let fits = match answer {
                        Answer::Key(line) => KeyLine::parse(line).is_some(),
                        Answer::InvalidName(name) => name == question.name && !is_agent_name(name),
                        Answer::AddressTaken(_) => true,
                        _ => false,
                    };
                    asked == request && answered == response && fits
                }
                (Ok(_), Err(_)) => false,
            };
            if !good || !Question::is_complete(request) {
                wrong.push(row["request"].to_string());
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
    }
}
