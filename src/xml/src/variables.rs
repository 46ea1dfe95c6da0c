//! Variables of a rule or decoder file: `<var name="X">value</var>`, used as `$X` further down.

use crate::error::{XmlError, XmlErrorKind};
use crate::node::Element;

/// Names this long or longer are refused, in bytes.
const MAX_NAME: usize = 256;
/// Largest text after replacement, in bytes: a few hundred bytes must not grow into gigabytes.
const MAX_EXPANDED: usize = 8 * crate::MAX_TEXT;
/// Shorter texts can't hold a reference worth replacing and are left alone.
const MIN_SCANNED: usize = 3;

/// Takes out the `<var>` roots and replaces the references below each.
pub(crate) fn substitute(roots: Vec<Element>) -> Result<Vec<Element>, XmlError> {
    let mut variables = Variables::default();
    let mut kept = Vec::with_capacity(roots.len());
    for mut root in roots {
        variables.apply(&mut root)?;
        if root.name == "var" {
            variables.define(root)?;
        } else {
            kept.push(root);
        }
    }
    Ok(kept)
}

#[derive(Default)]
struct Variables {
    list: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Variables {
    fn define(&mut self, element: Element) -> Result<(), XmlError> {
        let fail = |kind| Err(XmlError { kind, line: element.line });
        let name = match element.attributes.as_slice() {
            [only] if only.name == "name" => only.value.clone(),
            [] => return fail(XmlErrorKind::VariableWithoutValue),
            _ => return fail(XmlErrorKind::VariableAttribute),
        };
        if name.is_empty() || name.len() >= MAX_NAME {
            return fail(XmlErrorKind::VariableNameSize);
        }
        if !element.children.is_empty() {
            return fail(XmlErrorKind::VariableContent);
        }
        if element.content.is_empty() {
            return fail(XmlErrorKind::VariableWithoutValue);
        }
        // A later definition of the same name is found first.
        self.list.insert(0, (name, element.content));
        Ok(())
    }

    /// Replaces in the element and all below; by a work list, since depth must not cost stack.
    fn apply(&self, root: &mut Element) -> Result<(), XmlError> {
        if self.list.is_empty() {
            return Ok(());
        }
        let mut work = vec![root];
        while let Some(element) = work.pop() {
            let at_line = |kind| XmlError { kind, line: element.line };
            element.content = self.expand(&element.content).map_err(at_line)?;
            for attribute in &mut element.attributes {
                attribute.value = self.expand(&attribute.value).map_err(at_line)?;
            }
            work.extend(element.children.iter_mut().rev());
        }
        Ok(())
    }

    fn expand(&self, text: &[u8]) -> Result<Vec<u8>, XmlErrorKind> {
        if text.len() < MIN_SCANNED {
            return Ok(text.to_vec());
        }
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.iter().position(|&b| b == b'$') {
            let (before, reference) = rest.split_at(at);
            let behind = reference.get(1..).unwrap_or_default();
            let end = behind.iter().position(|&b| ends_name(b)).unwrap_or(behind.len());
            let (name, after) = behind.split_at(end);
            out.extend_from_slice(before);
            if name.is_empty() {
                out.push(b'$');
            } else {
                out.extend_from_slice(self.value(name)?);
            }
            if out.len() > MAX_EXPANDED {
                return Err(XmlErrorKind::Overflow);
            }
            rest = after;
        }
        out.extend_from_slice(rest);
        Ok(out)
    }

    fn value(&self, name: &[u8]) -> Result<&[u8], XmlErrorKind> {
        let known = self.list.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let unknown = || XmlErrorKind::VariableUnknown(String::from_utf8_lossy(name).into_owned());
        known.map(|(_, value)| value.as_slice()).ok_or_else(unknown)
    }
}

fn ends_name(byte: u8) -> bool {
    matches!(byte, b'$' | b'.' | b'|' | b',' | b' ')
}
