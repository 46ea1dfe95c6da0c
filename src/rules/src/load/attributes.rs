//! The attributes of `<rule id="5716" level="5" frequency="6" timeframe="120" ignore="60">`.

use super::Notes;
use super::draft::Draft;
use crate::options::Options;
use crate::rule::Rule;

/// The attributes of `<rule>`.
pub(super) fn attributes(
    element: &xml::Element,
    group: &[u8],
    options: &Options,
    notes: &mut Notes,
) -> Option<Draft> {
    let mut draft = Draft::new(Rule {
        groups: group.to_vec(),
        timeframe: options.default_timeframe,
        file: notes.file.clone(),
        line: element.line,
        ..Rule::default()
    });
    let (mut id, mut level) = (None, None);
    for attribute in &element.attributes {
        let name = attribute.name.to_ascii_lowercase();
        let limit = match name.as_str() {
            "id" | "ignore" => 6,
            "timeframe" => 5,
            "level" | "maxsize" | "frequency" | "accuracy" => 4,
            "noalert" => {
                draft.noalert = true;
                continue;
            }
            "overwrite" => {
                match attribute.value.as_slice() {
                    b"yes" => draft.overwrite = true,
                    b"no" => {}
                    _ => notes.error(element.line, "overwrite is yes or no"),
                }
                continue;
            }
            _ => {
                notes.error(
                    element.line,
                    format!("unknown attribute {name:?} of a rule; expected id, level, maxsize, timeframe, frequency, accuracy, ignore, noalert or overwrite"),
                );
                continue;
            }
        };
        let Some(value) = number(&attribute.value, limit) else {
            notes.error(
                element.line,
                format!("{name} is a number of at most {limit} digits, not {:?}", attribute.text()),
            );
            continue;
        };
        match name.as_str() {
            "id" => id = Some(value),
            "level" => level = Some(value),
            "ignore" => draft.rule.ignore = value,
            "timeframe" => draft.rule.timeframe = value,
            "maxsize" => draft.least_length = value as usize,
            "frequency" => draft.rule.frequency = value,
            _ => draft.accurate = value != 0,
        }
    }
    let (Some(id), Some(level)) = (id, level) else {
        notes.error(element.line, "a rule needs an id and a level");
        return None;
    };
    let Ok(level) = u8::try_from(level) else {
        notes.error(
            element.line,
            format!("rule {id}: level {level} is above 255; levels go from 0 to 15"),
        );
        return None;
    };
    if level > 15 {
        notes.warning(
            element.line,
            format!("rule {id}: level {level} is above 15, the highest there should be"),
        );
    }
    draft.rule.id = id;
    draft.rule.level = level;
    draft.rule.log = level >= options.log_level;
    draft.rule.mail = level >= options.email_level;
    Some(draft)
}

/// A number of at most `limit` digits.
pub(super) fn number(text: &[u8], limit: usize) -> Option<u32> {
    let fits = !text.is_empty() && text.len() <= limit && text.iter().all(u8::is_ascii_digit);
    fits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}
