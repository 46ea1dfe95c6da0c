//! The scanner: bytes in, elements out. Iterative, so that depth costs heap and never stack.

use crate::error::{XmlError, XmlErrorKind};
use crate::node::{Attribute, Element};
use crate::{MAX_DEPTH, MAX_TEXT};

/// A place in the text, and the elements that are open there.
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    open: Vec<Element>,
    roots: Vec<Element>,
}

type Step = Result<(), XmlError>;

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        Self { text, at: 0, line: 1, open: Vec::new(), roots: Vec::new() }
    }

    pub(crate) fn read(mut self) -> Result<Vec<Element>, XmlError> {
        self.skip_declaration()?;
        while let Some(byte) = self.peek() {
            match byte {
                b'<' => self.read_tag()?,
                b'\\' if self.peek_after() == Some(b'<') => {
                    self.keep()?;
                    self.keep()?;
                }
                _ => self.keep()?,
            }
        }
        if self.open.is_empty() { Ok(self.roots) } else { Err(self.error(XmlErrorKind::EndOfFile)) }
    }

    fn skip_declaration(&mut self) -> Step {
        if self.rest().starts_with(b"<?xml") && !self.skip_behind(&[b"?>"]) {
            return Err(self.error(XmlErrorKind::DeclarationNotClosed));
        }
        Ok(())
    }

    /// At a `<`: a comment, a closing or an opening tag.
    fn read_tag(&mut self) -> Step {
        let line = self.line;
        self.take();
        match self.peek() {
            Some(b'!') => {
                self.take();
                let closed = self.skip_behind(&[b"-->", b"!>"]);
                if closed { Ok(()) } else { Err(self.error(XmlErrorKind::CommentNotClosed)) }
            }
            Some(b'/') => {
                self.take();
                self.read_closing()
            }
            _ => self.read_opening(line),
        }
    }

    fn read_closing(&mut self) -> Step {
        let name = self.read_name()?;
        self.skip_spaces();
        let closed = self.take() == Some(b'>');
        match self.open.last() {
            None => Err(self.error(XmlErrorKind::NotOpened)),
            Some(element) if closed && element.name == name => {
                self.close();
                Ok(())
            }
            Some(element) => {
                let name = element.name.clone();
                Err(self.error(XmlErrorKind::NotClosed(name)))
            }
        }
    }

    fn read_opening(&mut self, line: usize) -> Step {
        let name = self.read_name()?;
        if self.open.len() >= MAX_DEPTH {
            return Err(self.error(XmlErrorKind::TooDeep));
        }
        if let Some(parent) = self.open.last_mut() {
            parent.content.clear();
        }
        let mut element = Element { name, line, ..Element::default() };
        loop {
            let spaces = self.skip_spaces();
            match self.peek() {
                Some(b'>') => {
                    self.take();
                    self.open.push(element);
                    return Ok(());
                }
                Some(b'/') if self.peek_after() == Some(b'>') => {
                    self.take();
                    self.take();
                    self.open.push(element);
                    self.close();
                    return Ok(());
                }
                Some(byte) if spaces && byte != b'/' && byte != b'<' => {
                    let attribute = self.read_attribute()?;
                    if element.attributes.iter().any(|a| a.name == attribute.name) {
                        return Err(self.error(XmlErrorKind::AttributeTwice(attribute.name)));
                    }
                    element.attributes.push(attribute);
                }
                _ => return Err(self.error(XmlErrorKind::NotClosed(element.name))),
            }
        }
    }

    fn read_attribute(&mut self) -> Result<Attribute, XmlError> {
        let start = self.at;
        let ends = |b: u8| b == b'=' || is_space(b) || matches!(b, b'>' | b'/' | b'<');
        while self.peek().is_some_and(|b| !ends(b)) {
            self.take();
        }
        let raw = self.since(start);
        let name = String::from_utf8_lossy(raw).into_owned();
        if raw.len() > MAX_TEXT {
            return Err(self.error(XmlErrorKind::AttributeOverflow(name)));
        }
        match self.peek() {
            Some(b'=') if !name.is_empty() => self.take(),
            None => return Err(self.error(XmlErrorKind::AttributeEndOfFile)),
            Some(_) => return Err(self.error(XmlErrorKind::AttributeWithoutValue(name))),
        };
        self.skip_spaces();
        let quote = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => quote,
            None => return Err(self.error(XmlErrorKind::AttributeEndOfFile)),
            Some(_) => return Err(self.error(XmlErrorKind::AttributeNotQuoted(name))),
        };
        self.take();
        self.read_value(name, quote)
    }

    /// Behind the opening quote.
    fn read_value(&mut self, name: String, quote: u8) -> Result<Attribute, XmlError> {
        let start = self.at;
        while self.peek().is_some_and(|b| b != quote) {
            self.take();
            if self.at - start > MAX_TEXT {
                return Err(self.error(XmlErrorKind::AttributeOverflow(name)));
            }
        }
        let value = self.since(start).to_vec();
        if self.take().is_none() {
            return Err(self.error(XmlErrorKind::AttributeNotClosed(name)));
        }
        match self.peek() {
            Some(b) if !is_space(b) && b != b'>' && b != b'/' => {
                let value = String::from_utf8_lossy(&value).into_owned();
                Err(self.error(XmlErrorKind::AttributeBadClosing { name, value }))
            }
            _ => Ok(Attribute { name, value }),
        }
    }

    /// A tag's name; ends at white space, `/`, `>` and `<`.
    fn read_name(&mut self) -> Result<String, XmlError> {
        let start = self.at;
        while self.peek().is_some_and(|b| !is_space(b) && !matches!(b, b'>' | b'/' | b'<')) {
            self.take();
        }
        let name = self.since(start);
        if name.len() > MAX_TEXT {
            return Err(self.error(XmlErrorKind::Overflow));
        }
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    /// The innermost element is complete.
    fn close(&mut self) {
        let Some(element) = self.open.pop() else { return };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.roots.push(element),
        }
    }

    /// One byte of content; outside all elements text means nothing.
    fn keep(&mut self) -> Step {
        let Some(byte) = self.take() else { return Ok(()) };
        let Some(element) = self.open.last_mut() else { return Ok(()) };
        if element.content.len() == MAX_TEXT {
            return Err(self.error(XmlErrorKind::Overflow));
        }
        element.content.push(byte);
        Ok(())
    }

    /// Moves behind the first of these marks; to the end of the text, and `false`, when there is none.
    fn skip_behind(&mut self, marks: &[&[u8]]) -> bool {
        while self.at < self.text.len() {
            if let Some(mark) = marks.iter().find(|m| self.rest().starts_with(m)) {
                self.at += mark.len();
                return true;
            }
            self.take();
        }
        false
    }

    /// Whether there were any.
    fn skip_spaces(&mut self) -> bool {
        let start = self.at;
        while self.peek().is_some_and(is_space) {
            self.take();
        }
        self.at > start
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn peek_after(&self) -> Option<u8> {
        self.text.get(self.at + 1).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn since(&self, start: usize) -> &'a [u8] {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn error(&self, kind: XmlErrorKind) -> XmlError {
        XmlError { kind, line: self.line }
    }
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}
