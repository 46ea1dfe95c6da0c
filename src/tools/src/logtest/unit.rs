//! `-U rule:level:decoder`: a unit test by exit code, as scripts around OSSEC use it.

use rules::Engine;

use super::session::Verdict;

/// What `-U` expects; compared as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expected {
    rule: Vec<u8>,
    level: Vec<u8>,
    decoder: Vec<u8>,
}

/// No rule where one was expected.
pub(super) const NO_RULE: u8 = 255;

impl Expected {
    /// Takes `5716:5:sshd` apart.
    pub(super) fn parse(argument: &[u8]) -> Option<Self> {
        let mut parts = argument.splitn(3, |&byte| byte == b':').map(<[u8]>::to_vec);
        let (rule, level, decoder) = (parts.next()?, parts.next()?, parts.next()?);
        let filled = !rule.is_empty()
            && !level.is_empty()
            && !decoder.is_empty()
            && !decoder.contains(&b':');
        filled.then_some(Self { rule, level, decoder })
    }

    /// The exit code for this line: 0 all as expected, 1 the level differs, 2 the rule, 3 the decoder. What there is to
    /// say goes to `out`.
    pub(super) fn compare(&self, engine: &Engine, verdict: &Verdict, out: &mut Vec<u8>) -> u8 {
        let decoder = engine.decoder_name(&verdict.event).unwrap_or("(null)").as_bytes();
        line(out, "\nlf->decoder_info->name: ", decoder);
        line(out, "ut_decoder_name       : ", &self.decoder);
        if !decoder.eq_ignore_ascii_case(&self.decoder) {
            line(out, "decoder matched : ", decoder);
            line(out, "decoder expected: ", &self.decoder);
            return 3;
        }
        let Some(index) = verdict.judgement.rule else {
            out.extend_from_slice(
                b"ossec-testrule: ERROR: the decoder matched, but no rule did.\n",
            );
            return NO_RULE;
        };
        let rule = engine.rule(index);
        if rule.id.to_string().as_bytes() != self.rule {
            2
        } else if rule.level.to_string().as_bytes() != self.level {
            1
        } else {
            0
        }
    }
}

fn line(out: &mut Vec<u8>, label: &str, value: &[u8]) {
    out.extend_from_slice(label.as_bytes());
    out.push(b'\'');
    out.extend_from_slice(value);
    out.extend_from_slice(b"'\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts_are_needed() {
        assert!(Expected::parse(b"5716:5:sshd").is_some());
        for odd in [&b""[..], b"5716", b"5716:5", b"5716:5:", b":5:sshd", b"1:2:3:4"] {
            assert_eq!(Expected::parse(odd), None, "{}", odd.escape_ascii());
        }
    }
}
