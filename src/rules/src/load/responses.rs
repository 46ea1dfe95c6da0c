//! Which active responses a rule starts.

use super::Notes;
use super::draft::Draft;
use crate::options::Options;
use crate::text::{Language, Text};

/// The `rules_group` patterns of the configured responses.
pub(super) fn response_groups(options: &Options, notes: &mut Notes) -> Vec<Option<Text>> {
    notes.enter("active-response");
    let patterns = options.responses.iter().map(|binding| {
        let pattern = binding.rules_group.as_ref()?;
        match Text::new(Language::Regex, pattern) {
            Ok(text) => Some(text),
            Err(error) => {
                notes.error(0, format!("rules_group is no pattern: {error}"));
                None
            }
        }
    });
    patterns.collect()
}

/// The responses that a rule starts.
pub(super) fn responses(draft: &Draft, options: &Options, groups: &[Option<Text>]) -> Vec<usize> {
    let rule = &draft.rule;
    if rule.level == 0 || !draft.accurate || draft.no_response {
        return Vec::new();
    }
    let bound = options.responses.iter().zip(groups).enumerate().filter(|(_, (binding, group))| {
        binding.level.is_some_and(|level| rule.level >= level)
            || group.as_ref().is_some_and(|group| group.is_match(&rule.groups))
            || binding.rules_id.contains(&rule.id)
    });
    bound.map(|(position, _)| position).collect()
}
