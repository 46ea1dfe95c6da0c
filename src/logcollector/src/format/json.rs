//! `json`: one JSON object a line. The line is the event, whole up to [`MAX_RECORD`](super::MAX_RECORD) bytes, so that
//! the decoder gets complete objects only.
//!
//! A line that is not JSON is passed on as it is: the decoder then sees plain text, and nothing is lost. Blank lines are
//! no events. (An addition of ours: the original has no such format.)

use wire::Kind;

use super::{Format, Line, Records};

/// One JSON object a line.
pub(super) struct Json;

impl Format for Json {
    fn line(&mut self, line: &Line<'_>, out: &mut Records) {
        let text = line.bytes.trim_ascii();
        if text.is_empty() {
            return out.filter(Some(line.end));
        }
        out.emit(Kind::Log, text.to_vec(), line.end);
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{lines, payloads};
    use super::*;

    #[test]
    fn objects_and_plain_text_pass_and_blank_lines_do_not() {
        assert_eq!(payloads(&mut Json, b"{\"a\":1}\r\n\nnot json\n"), ["{\"a\":1}", "not json"]);
    }

    #[test]
    fn a_long_object_stays_whole() {
        let text = format!("{{\"a\":\"{}\"}}\n", "x".repeat(20_000));
        assert_eq!(lines(&mut Json, text.as_bytes())[0].payload.len(), 20_008);
    }
}
