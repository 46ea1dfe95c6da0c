//! OSSEC's tolerant XML dialect, as used by `ossec.conf`, decoders and rules.
//!
//! It is not XML: there are no entities (`&lt;` stays as it is), a file may have several roots, content is not trimmed,
//! `\<` puts a literal `<` into content (and keeps its backslash), comments run from `<!` to `-->` or `!>`.
//! Content and attribute values are bytes, since rule files need not be UTF-8.
//!
//! ```
//! let roots = xml::parse(b"<rule id=\"5716\">\n  <match>^Failed</match>\n</rule>").unwrap();
//! let rule = &roots[0];
//! assert_eq!(rule.attribute("id"), Some(&b"5716"[..]));
//! let pattern = rule.child("match").unwrap();
//! assert_eq!((pattern.content.as_slice(), pattern.line), (&b"^Failed"[..], 2));
//! ```

mod error;
mod node;
mod reader;
mod variables;

pub use error::{XmlError, XmlErrorKind};
pub use node::{Attribute, Element};

/// Largest name, content or attribute value, in bytes.
pub const MAX_TEXT: usize = 8192;
/// Deepest nesting of elements.
pub const MAX_DEPTH: usize = 1024;

/// Reads a whole file: all its root elements, in order.
///
/// # Errors
/// The first thing that is not well formed, with its line.
pub fn parse(text: &[u8]) -> Result<Vec<Element>, XmlError> {
    reader::Reader::new(text).read()
}

/// Reads a whole file and replaces `$NAME` by the value of an earlier root element `<var name="NAME">`.
///
/// The `<var>` elements themselves are left out of the result. A `$` has no meaning before the first of them.
///
/// # Errors
/// As [`parse`], and an unknown or malformed variable.
pub fn parse_with_variables(text: &[u8]) -> Result<Vec<Element>, XmlError> {
    variables::substitute(parse(text)?)
}
