//! The tree that a file becomes.

use std::borrow::Cow;

/// One element with all that is below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Name as written; case matters.
    pub name: String,
    /// Attributes in the order of the file; names are unique.
    pub attributes: Vec<Attribute>,
    /// Text behind the last child (all the text, if there are none), without comments, untrimmed.
    pub content: Vec<u8>,
    /// Elements directly below, in order.
    pub children: Vec<Element>,
    /// Line of the opening `<`, counted from 1.
    pub line: usize,
}

/// One `name="value"` of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Name as written; case matters.
    pub name: String,
    /// Text between the quotes.
    pub value: Vec<u8>,
}

impl Element {
    /// The content for messages and for values that are text; invalid UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.content)
    }

    /// Value of the attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&[u8]> {
        self.attributes.iter().find(|a| a.name == name).map(|a| a.value.as_slice())
    }

    /// First child of this name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// All children of this name, in order.
    pub fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |c| c.name == name)
    }
}

impl Attribute {
    /// The value as text; invalid UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.value)
    }
}
