//! What can be wrong with a file, in the words that OSSEC's users know.

use std::fmt;

/// A file that is not well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlError {
    /// What is wrong.
    pub kind: XmlErrorKind,
    /// Where it was noticed, counted from 1.
    pub line: usize,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XmlErrorKind {
    /// `<?xml` without `?>`.
    DeclarationNotClosed,
    /// `<!` without `-->` or `!>`.
    CommentNotClosed,
    /// A closing tag where nothing is open.
    NotOpened,
    /// A tag that never ends, or a closing tag of another name.
    NotClosed(String),
    /// The file ends within an element.
    EndOfFile,
    /// A name or content longer than [`MAX_TEXT`](crate::MAX_TEXT).
    Overflow,
    /// Nesting deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    TooDeep,
    /// The file ends within the value of this attribute.
    AttributeNotClosed(String),
    /// An attribute without `=`.
    AttributeWithoutValue(String),
    /// An attribute given twice.
    AttributeTwice(String),
    /// A value without quotes.
    AttributeNotQuoted(String),
    /// An attribute longer than [`MAX_TEXT`](crate::MAX_TEXT).
    AttributeOverflow(String),
    /// A value's closing quote runs into other text.
    AttributeBadClosing {
        /// Name of the attribute.
        name: String,
        /// Its value.
        value: String,
    },
    /// The file ends within an attribute's name.
    AttributeEndOfFile,
    /// A variable whose content can't be used: it has children.
    VariableContent,
    /// A variable's name is empty or has 256 bytes or more.
    VariableNameSize,
    /// A variable with another attribute than `name`.
    VariableAttribute,
    /// A variable without `name`, or without content.
    VariableWithoutValue,
    /// `$NAME` names no variable above it.
    VariableUnknown(String),
}

impl fmt::Display for XmlErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("XMLERR: ")?;
        match self {
            Self::DeclarationNotClosed => f.write_str("XML declaration not closed."),
            Self::CommentNotClosed => f.write_str("Comment not closed."),
            Self::NotOpened => f.write_str("Element not opened."),
            Self::NotClosed(name) => write!(f, "Element '{}' not closed.", short(name, 80)),
            Self::EndOfFile => f.write_str("End of file and some elements were not closed."),
            Self::Overflow => f.write_str("String overflow."),
            Self::TooDeep => f.write_str("Max recursion level reached."),
            Self::AttributeNotClosed(name) => {
                write!(f, "Attribute '{}' not closed.", short(name, 80))
            }
            Self::AttributeWithoutValue(name) => {
                write!(f, "Attribute '{}' has no value.", short(name, 80))
            }
            Self::AttributeTwice(name) => {
                write!(f, "Attribute '{}' already defined.", short(name, 80))
            }
            Self::AttributeNotQuoted(name) => {
                write!(f, "Attribute '{}' not followed by a \" or '.", short(name, 80))
            }
            Self::AttributeOverflow(name) => {
                write!(f, "Overflow attempt at attribute '{}'.", short(name, 20))
            }
            Self::AttributeBadClosing { name, value } => {
                let (name, value) = (short(name, 80), short(value, 80));
                write!(f, "Bad attribute closing for '{name}'='{value}'.")
            }
            Self::AttributeEndOfFile => f.write_str("End of file while reading an attribute."),
            Self::VariableContent => f.write_str("Invalid variable content."),
            Self::VariableNameSize => f.write_str("Invalid variable name size."),
            Self::VariableAttribute => {
                f.write_str("Only \"name\" is allowed as an attribute for a variable.")
            }
            Self::VariableWithoutValue => f.write_str("No value set for variable."),
            Self::VariableUnknown(name) => write!(f, "Unknown variable: '{}'.", short(name, 80)),
        }
    }
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {})", self.kind, self.line)
    }
}

impl std::error::Error for XmlError {}

/// The first `limit` characters, so that a hostile file does not fill the log.
fn short(text: &str, limit: usize) -> &str {
    text.char_indices().nth(limit).map_or(text, |(at, _)| text.get(..at).unwrap_or(text))
}
