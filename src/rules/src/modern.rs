//! Headers beyond the original's: RFC 5424, ISO times in `Z`; and the time that a header tells.
//!
//! `<34>1 2003-10-11T22:14:15.003Z web1 app 77 ID47 [x@1 user="bob"] text` has the host `web1`, the program `app`, the log
//! `text`. A relay may have taken the priority off: then the line begins with `1 `.

use std::ops::Range;

use alerts::Moment;
use alerts::moment::MONTHS;

use crate::predecode::{Header, names};

/// Most values of structured data that become fields.
const MAX_VALUES: usize = 64;

/// A header that the original does not know.
pub(crate) struct Modern {
    pub(crate) header: Header,
    /// The structured data, if it is not `-`.
    pub(crate) data: Option<Range<usize>>,
}

/// Takes the header apart, if it is a modern one.
pub(crate) fn header(line: &[u8]) -> Option<Modern> {
    if let Some(end) = iso_zulu(line) {
        return Some(Modern { header: names(line, end), data: None });
    }
    rfc5424(line)
}

/// Behind `2009-05-22T09:36:46Z `, also with a fraction of a second.
fn iso_zulu(line: &[u8]) -> Option<usize> {
    let (_, end) = iso(line)?;
    let zulu = line.get(end.checked_sub(1)?) == Some(&b'Z');
    (zulu && line.get(end) == Some(&b' ')).then_some(end + 1)
}

fn rfc5424(line: &[u8]) -> Option<Modern> {
    let mut at = behind_priority(line);
    let mut token = || {
        let rest = line.get(at..)?;
        let end = memchr::memchr(b' ', rest)?;
        let range = at..at + end;
        at += end + 1;
        (end > 0).then_some(range)
    };
    let (version, time) = (token()?, token()?);
    let [host, program, _process, _message] = [token()?, token()?, token()?, token()?];
    let time = line.get(time)?;
    let is_time = time == b"-" || iso(time).is_some_and(|(_, end)| end == time.len());
    if line.get(version)? != b"1" || !is_time {
        return None;
    }
    let end = data_end(line, at)?;
    let data = Some(at..end).filter(|_| line.get(at) == Some(&b'['));
    let log = match line.get(end) {
        None => end,
        Some(b' ') if line.get(end + 1..)?.starts_with(b"\xef\xbb\xbf") => end + 4,
        Some(b' ') => end + 1,
        Some(_) => return None,
    };
    let given = |range: Range<usize>| Some(range).filter(|r| line.get(r.clone()) != Some(b"-"));
    let header =
        Header { log: log..line.len(), hostname: given(host), program_name: given(program) };
    Some(Modern { header, data })
}

fn behind_priority(line: &[u8]) -> usize {
    let digits = |rest: &[u8]| rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match line.strip_prefix(b"<").map(|rest| (digits(rest), rest)) {
        Some((count @ 1..=3, rest)) if rest.get(count) == Some(&b'>') => count + 2,
        _ => 0,
    }
}

/// Where structured data at `at` ends.
fn data_end(line: &[u8], at: usize) -> Option<usize> {
    if line.get(at) == Some(&b'-') {
        return Some(at + 1);
    }
    let mut at = at;
    while line.get(at) == Some(&b'[') {
        let mut quoted = false;
        loop {
            at += 1;
            match line.get(at)? {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b']' if !quoted => break,
                _ => {}
            }
        }
        at += 1;
        if line.get(at) != Some(&b'[') {
            return Some(at);
        }
    }
    None
}

/// One value of structured data.
pub(crate) struct Item {
    /// `sd.<element>.<name>`
    pub(crate) name: Vec<u8>,
    pub(crate) value: Range<usize>,
    /// The value has a backslash before `"`, `\` or `]`.
    pub(crate) escaped: bool,
}

/// The values of structured data, which lies at `range`.
pub(crate) fn items(line: &[u8], range: Range<usize>) -> Vec<Item> {
    let mut items = Vec::new();
    let text = line.get(..range.end).unwrap_or_default();
    let mut at = range.start;
    while text.get(at) == Some(&b'[') && items.len() < MAX_VALUES {
        let Some(end) = element(text, at + 1, &mut items) else { break };
        at = end;
    }
    items
}

/// Reads one element's values; gives the place behind its `]`.
fn element(text: &[u8], start: usize, items: &mut Vec<Item>) -> Option<usize> {
    let run = |from: usize| {
        let rest = text.get(from..)?;
        Some(from + rest.iter().position(|byte| b" =]\"".contains(byte))?)
    };
    let mut at = run(start)?;
    let id = text.get(start..at)?;
    loop {
        match text.get(at)? {
            b']' => return Some(at + 1),
            b' ' => at += 1,
            _ => {
                let equals = run(at)?;
                let name = text.get(at..equals)?;
                let value = equals + 2;
                if text.get(equals..value)? != b"=\"" {
                    return None;
                }
                let (mut end, mut escaped) = (value, false);
                while *text.get(end)? != b'"' {
                    let backslash = text.get(end) == Some(&b'\\');
                    escaped |= backslash;
                    end += 1 + usize::from(backslash);
                }
                if items.len() < MAX_VALUES {
                    let name = [b"sd.", id, b".", name].concat();
                    items.push(Item { name, value: value..end, escaped });
                }
                at = end + 1;
            }
        }
    }
}

/// Takes the backslashes before `"`, `\` and `]` out.
pub(crate) fn unescape(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'\\', Some(&next @ (b'"' | b'\\' | b']'))) => {
                out.push(next);
                bytes.next();
            }
            _ => out.push(byte),
        }
    }
    out
}

/// Seconds since the epoch that the header of `line` tells; times without a zone are local to `received`.
pub(crate) fn time(line: &[u8], received: &Moment) -> Option<i64> {
    let line = line.get(behind_priority(line)..)?;
    let line = line.strip_prefix(b"1 ").unwrap_or(line);
    let local = local_offset(received);
    if let Some((seconds, _)) = iso(line) {
        return Some(seconds);
    }
    if let Some(clock) = clock(line, 7) {
        // `Nov 14 22:13:20`: no year, so the one that brings it nearest.
        let (month, day) = (month(line.get(..3)?)?, number(line.get(4..6)?.trim_ascii_start())?);
        let of = |year: i64| civil_seconds(year, month, day).map(|date| date + clock - local);
        let year = i64::from(received.year);
        let candidates = [year - 1, year, year + 1].into_iter().filter_map(of);
        return candidates.min_by_key(|time| (time - received.epoch).abs());
    }
    if let Some(clock) = clock(line, 12) {
        let (month, day) = (month(line.get(5..8)?)?, number(line.get(9..11)?.trim_ascii_start())?);
        return Some(civil_seconds(number(line.get(..4)?)?, month, day)? + clock - local);
    }
    let clock = clock(line, 11)?;
    Some(date(line)? + clock - local)
}

/// `2003-10-11T22:14:15.003Z`, `...+01:00`: seconds since the epoch, and where it ends.
fn iso(line: &[u8]) -> Option<(i64, usize)> {
    if line.get(10) != Some(&b'T') {
        return None;
    }
    let seconds = date(line)? + clock(line, 11)?;
    let mut at = 19;
    if matches!(line.get(at), Some(b'.' | b',')) {
        let digits = line.get(at + 1..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        at += 1 + digits.min(9);
    }
    let sign = match line.get(at)? {
        b'Z' => return Some((seconds, at + 1)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let minute = match line.get(at + 3)? {
        b':' => at + 4,
        _ => at + 3,
    };
    let hours = number(line.get(at + 1..at + 3)?)?;
    let minutes = number(line.get(minute..minute + 2)?)?;
    Some((seconds - sign * (hours * 3600 + minutes * 60), minute + 2))
}

/// `2003-10-11` at the start of a line, as seconds.
fn date(line: &[u8]) -> Option<i64> {
    if line.get(4)? != &b'-' || line.get(7)? != &b'-' {
        return None;
    }
    civil_seconds(number(line.get(..4)?)?, number(line.get(5..7)?)?, number(line.get(8..10)?)?)
}

/// `22:14:15` at a place, as seconds.
fn clock(line: &[u8], at: usize) -> Option<i64> {
    let text = line.get(at..at + 8)?;
    if text.get(2)? != &b':' || text.get(5)? != &b':' {
        return None;
    }
    let part = |from: usize| number(text.get(from..from + 2)?);
    let (hour, minute, second) = (part(0)?, part(3)?, part(6)?);
    (hour < 24 && minute < 60 && second < 61).then_some(hour * 3600 + minute * 60 + second)
}

fn number(digits: &[u8]) -> Option<i64> {
    let fits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    fits.then(|| str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

fn month(name: &[u8]) -> Option<i64> {
    let at = MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name))?;
    i64::try_from(at + 1).ok()
}

/// Seconds of a day's midnight, as if it were in UTC.
fn civil_seconds(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..=9999).contains(&year) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468) * 86_400)
}

/// How far the local clock is ahead of UTC.
fn local_offset(received: &Moment) -> i64 {
    let date = civil_seconds(received.year.into(), received.month.into(), received.day.into());
    let clock = i64::from(received.minute_of_day()) * 60 + i64::from(received.second);
    date.map_or(0, |date| date + clock - received.epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: &[u8] =
        br#"<34>1 2003-10-11T22:14:15.003Z web1 app 77 ID47 [x@1 user="b\"ob" n="1"][y z="]"] text"#;

    #[test]
    fn an_rfc_5424_header_names_host_and_program() {
        for line in [RFC, &RFC[4..]] {
            let modern = header(line).unwrap();
            assert_eq!(&line[modern.header.hostname.unwrap()], b"web1");
            assert_eq!(&line[modern.header.program_name.unwrap()], b"app");
            assert_eq!(&line[modern.header.log], b"text");
            let items = items(line, modern.data.unwrap());
            let names: Vec<&[u8]> = items.iter().map(|item| item.name.as_slice()).collect();
            assert_eq!(names, [&b"sd.x@1.user"[..], b"sd.x@1.n", b"sd.y.z"]);
            assert_eq!(unescape(&line[items[0].value.clone()]), b"b\"ob");
            assert_eq!(&line[items[2].value.clone()], b"]");
        }
    }

    #[test]
    fn what_is_missing_is_missing() {
        let modern = header(b"<34>1 - - - - - - \xef\xbb\xbfx").unwrap();
        assert_eq!((modern.header.hostname, modern.header.program_name), (None, None));
        assert_eq!(modern.header.log, 21..22);
        assert!(modern.data.is_none());
        assert!(header(b"1 2 3 4 5 6 - x").is_none());
    }

    #[test]
    fn a_time_in_zulu_leads_to_names() {
        let line = b"2009-05-22T09:36:46.5Z myhost sshd[1]: text";
        let header = header(line).unwrap().header;
        assert_eq!(&line[header.program_name.unwrap()], b"sshd");
        assert_eq!(&line[header.log], b"text");
    }

    #[test]
    fn each_form_tells_the_same_time() {
        let utc = Moment::utc(1_700_000_300);
        let zone = Moment { epoch: 1_700_000_300 - 7200, ..utc };
        for line in ["Nov 14 22:13:20 h x", "2023 Nov 14 22:13:20 h x", "2023-11-14 22:13:20,5 x"] {
            assert_eq!(time(line.as_bytes(), &utc), Some(1_700_000_000), "{line}");
            assert_eq!(time(line.as_bytes(), &zone), Some(1_700_000_000 - 7200), "{line}");
        }
        for line in [
            "2023-11-14T22:13:20Z h x",
            "2023-11-14T23:13:20.123+01:00 h x",
            "<1>1 2023-11-14T17:13:20-0500 h x",
        ] {
            assert_eq!(time(line.as_bytes(), &zone), Some(1_700_000_000), "{line}");
        }
        let new_year = Moment::utc(1_704_067_210);
        assert_eq!(time(b"Dec 31 23:59:59 h x", &new_year), Some(1_704_067_199));
    }

    #[test]
    fn cut_and_mutated_lines_never_panic() {
        let mut seed = 3_u32;
        for line in [RFC, b"2009-05-22T09:36:46.5Z h s[1]: x", b"Nov 14 22:13:20 h s: x"] {
            for end in 0..=line.len() {
                for _ in 0..30 {
                    let mut line = line[..end].to_vec();
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if end > 0 {
                        line[(seed >> 8) as usize % end] =
                            b" []=\"\\-:T9"[(seed >> 24) as usize % 10];
                    }
                    if let Some(Modern { data: Some(data), .. }) = header(&line) {
                        items(&line, data);
                    }
                    time(&line, &Moment::utc(1_700_000_000));
                }
            }
        }
    }
}
