//! When a line was written, by the time in it.
//!
//! A time without a year takes the year in which it comes closest to the line before, the first of a file the latest one;
//! neither lies after the file's own time. A line without a time keeps that of the line before.

use alerts::Moment;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// How far ahead of the file's own time a line may be: clocks and zones differ.
const AHEAD: i64 = 86_400;
/// Times lie at the front of a line.
const SEARCHED: usize = 300;

/// Gives each line of a replay its time.
pub(super) struct Times {
    zone: TimeZone,
    /// When the file was written.
    reference: i64,
    /// Of the line before, in this file.
    last: Option<i64>,
    now: Moment,
}

/// A time as a line says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Seconds since 1970.
    Epoch(i64),
    /// By a wall clock of the host.
    Local(DateTime),
    /// The same, without a year.
    Yearless { month: i8, day: i8, hour: i8, minute: i8, second: i8 },
}

impl Times {
    /// Begins at `reference`, with wall clocks of this zone.
    pub(super) fn new(zone: TimeZone, reference: i64) -> Self {
        let now = moment(&zone, reference);
        Self { zone, reference, last: None, now }
    }

    /// A further file, which was written at `reference`.
    pub(super) fn next_file(&mut self, reference: i64) {
        self.reference = reference;
        if self.last.take().is_none() {
            self.now = moment(&self.zone, reference);
        }
    }

    /// When this line was written.
    pub(super) fn of(&mut self, line: &[u8]) -> Moment {
        if let Some(epoch) = said(line).and_then(|said| self.epoch(said)) {
            self.settle(epoch);
        }
        self.now
    }

    /// The moment of an archive's own date, which begins the text as `2023 Nov 14 22:13:20`.
    pub(super) fn of_archive(&mut self, date: &[u8]) -> Option<Moment> {
        let epoch = self.epoch(year_first(date)?)?;
        self.settle(epoch);
        Some(self.now)
    }

    fn settle(&mut self, epoch: i64) {
        self.last = Some(epoch);
        if self.now.epoch != epoch {
            self.now = moment(&self.zone, epoch);
        }
    }

    fn epoch(&self, said: Said) -> Option<i64> {
        match said {
            Said::Epoch(epoch) => Some(epoch),
            Said::Local(time) => self.local(time),
            Said::Yearless { month, day, hour, minute, second } => {
                let near = self.last.unwrap_or(self.reference);
                let year = i16::try_from(moment(&self.zone, near).year).ok()?;
                // A leap day may be years away.
                let years = (year.saturating_sub(8)..=year.saturating_add(1)).rev();
                let epochs = years.filter_map(|year| {
                    self.local(DateTime::new(year, month, day, hour, minute, second, 0).ok()?)
                });
                let latest = self.reference.max(near).saturating_add(AHEAD);
                let mut epochs = epochs.filter(|&epoch| epoch <= latest);
                match self.last {
                    Some(last) => epochs.min_by_key(|epoch| epoch.abs_diff(last)),
                    None => epochs.next(),
                }
            }
        }
    }

    fn local(&self, time: DateTime) -> Option<i64> {
        Some(self.zone.to_ambiguous_zoned(time).compatible().ok()?.timestamp().as_second())
    }
}

fn moment(zone: &TimeZone, epoch: i64) -> Moment {
    let Ok(timestamp) = jiff::Timestamp::from_second(epoch) else { return Moment::utc(0) };
    let time = zone.to_datetime(timestamp);
    let small = |n: i8| u8::try_from(n).unwrap_or(0);
    Moment {
        epoch,
        year: u16::try_from(time.year()).unwrap_or(0),
        month: small(time.month()),
        day: small(time.day()),
        hour: small(time.hour()),
        minute: small(time.minute()),
        second: small(time.second()),
        weekday: small(time.weekday().to_sunday_zero_offset()),
    }
}

/// The time at the front of a line, in any of the forms of log headers.
fn said(line: &[u8]) -> Option<Said> {
    let line = line.get(..SEARCHED).unwrap_or(line);
    let line = without_priority(line);
    let at_front = syslog(line)
        .or_else(|| iso(line))
        .or_else(|| year_first(line))
        .or_else(|| slashes(line))
        .or_else(|| seconds(line))
        .or_else(|| weekday_first(line));
    at_front.or_else(|| {
        let open = line.iter().position(|&byte| byte == b'[')?;
        let inner = line.get(open + 1..)?;
        access(inner).or_else(|| weekday_first(inner)).or_else(|| iso(inner)).or_else(|| asl(inner))
    })
}

/// Past `<34>` and the version that RFC 5424 puts behind it.
fn without_priority(line: &[u8]) -> &[u8] {
    let Some(rest) = line.strip_prefix(b"<") else { return line };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match rest.get(digits..) {
        Some([b'>', b'1', b' ', rest @ ..]) if (1..=3).contains(&digits) => rest,
        Some([b'>', rest @ ..]) if (1..=3).contains(&digits) => rest,
        _ => line,
    }
}

/// `Nov 14 22:13:20`
fn syslog(text: &[u8]) -> Option<Said> {
    let month = month(text.get(..3)?)?;
    let day = number(text.get(4..6)?)?;
    let (hour, minute, second) = clock(text.get(7..)?)?;
    is(text, 3, b' ')?;
    is(text, 6, b' ')?;
    Some(Said::Yearless { month, day, hour, minute, second })
}

/// `2023-11-14T22:13:20.123+01:00`, also with a blank, without fraction or zone; `2023:11:14-22:13:20`
fn iso(text: &[u8]) -> Option<Said> {
    let (year, mark) = (number(text.get(..4)?)?, *text.get(4)?);
    let between = *text.get(10)?;
    let is_form = mark == b'-' && matches!(between, b'T' | b' ') || mark == b':' && between == b'-';
    if !is_form || text.get(7) != Some(&mark) {
        return None;
    }
    let (hour, minute, second) = clock(text.get(11..)?)?;
    let (month, day) = (number(text.get(5..7)?)?, number(text.get(8..10)?)?);
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let mut rest = text.get(19..).unwrap_or_default();
    if let Some((b'.' | b',', fraction)) = rest.split_first() {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        rest = fraction.get(digits..).unwrap_or_default();
    }
    Some(zoned(time, rest).unwrap_or(Said::Local(time)))
}

/// `Z`, `+01:00` or `+0100` behind a time.
fn zoned(time: DateTime, zone: &[u8]) -> Option<Said> {
    let seconds = match zone {
        [b'Z', ..] => 0,
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let hours: i32 = number(rest.get(..2)?)?;
            let rest = rest.get(2..)?;
            let minutes: i32 = number(rest.strip_prefix(b":").unwrap_or(rest).get(..2)?)?;
            let seconds = hours * 3600 + minutes * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let offset = Offset::from_seconds(seconds).ok()?;
    Some(Said::Epoch(offset.to_timestamp(time).ok()?.as_second()))
}

/// `2023 Nov 14 22:13:20`
fn year_first(text: &[u8]) -> Option<Said> {
    let year = number(text.get(..4)?)?;
    is(text, 4, b' ')?;
    let Said::Yearless { month, day, hour, minute, second } = syslog(text.get(5..)?)? else {
        return None;
    };
    Some(Said::Local(DateTime::new(year, month, day, hour, minute, second, 0).ok()?))
}

/// `11/14-22:13:20.123456` and `11/14/2023-22:13:20.123456`
fn slashes(text: &[u8]) -> Option<Said> {
    let (month, day) = (number(text.get(..2)?)?, number(text.get(3..5)?)?);
    is(text, 2, b'/')?;
    if text.get(5) == Some(&b'-') {
        let (hour, minute, second) = clock(text.get(6..)?)?;
        return Some(Said::Yearless { month, day, hour, minute, second });
    }
    is(text, 5, b'/')?;
    is(text, 10, b'-')?;
    let (hour, minute, second) = clock(text.get(11..)?)?;
    let year = number(text.get(6..10)?)?;
    Some(Said::Local(DateTime::new(year, month, day, hour, minute, second, 0).ok()?))
}

/// `1700000000.123 `, as squid and auditd count.
fn seconds(text: &[u8]) -> Option<Said> {
    let text = text.strip_prefix(b"type=").map_or(text, |audit| {
        let open = audit.iter().position(|&byte| byte == b'(');
        open.and_then(|open| audit.get(open + 1..)).unwrap_or_default()
    });
    is(text, 10, b'.')?;
    Some(Said::Epoch(number(text.get(..10)?)?))
}

/// `Tue Nov 14 22:13:20 2023`, also with a fraction of the second.
fn weekday_first(text: &[u8]) -> Option<Said> {
    is(text, 3, b' ')?;
    let days = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    days.iter().find(|day| text.starts_with(**day))?;
    let rest = text.get(4..)?;
    let Said::Yearless { month, day, hour, minute, second } = syslog(rest)? else { return None };
    let behind = rest.get(15..)?;
    let fraction = behind.iter().take_while(|&&byte| byte != b' ').count();
    let year = number(behind.get(fraction + 1..fraction + 5)?)?;
    Some(Said::Local(DateTime::new(year, month, day, hour, minute, second, 0).ok()?))
}

/// `14/Nov/2023:22:13:20 +0100`
fn access(text: &[u8]) -> Option<Said> {
    let (day, month) = (number(text.get(..2)?)?, month(text.get(3..6)?)?);
    is(text, 2, b'/')?;
    is(text, 6, b'/')?;
    is(text, 11, b':')?;
    let (hour, minute, second) = clock(text.get(12..)?)?;
    let year = number(text.get(7..11)?)?;
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let zone = text.get(21..).unwrap_or_default();
    Some(zoned(time, zone).unwrap_or(Said::Local(time)))
}

/// `Time 2006.12.28 15:53:55 UTC`
fn asl(text: &[u8]) -> Option<Said> {
    let text = text.strip_prefix(b"Time ")?;
    let (year, month, day) =
        (number(text.get(..4)?)?, number(text.get(5..7)?)?, number(text.get(8..10)?)?);
    let (hour, minute, second) = clock(text.get(11..)?)?;
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    zoned(time, b"Z")
}

/// `22:13:20`
fn clock(text: &[u8]) -> Option<(i8, i8, i8)> {
    is(text, 2, b':')?;
    is(text, 5, b':')?;
    let (hour, minute) = (number(text.get(..2)?)?, number(text.get(3..5)?)?);
    let second: i8 = number(text.get(6..8)?)?;
    (hour < 24 && minute < 60 && second <= 60).then_some((hour, minute, second.min(59)))
}

fn month(name: &[u8]) -> Option<i8> {
    let at = alerts::moment::MONTHS.iter().position(|month| month.as_bytes() == name)?;
    i8::try_from(at + 1).ok()
}

fn is(text: &[u8], at: usize, byte: u8) -> Option<()> {
    (text.get(at) == Some(&byte)).then_some(())
}

/// A number of digits only, with blanks in front.
fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let digits = text.trim_ascii_start();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2023-11-14 22:13:20 UTC
    const THEN: i64 = 1_700_000_000;

    fn times() -> Times {
        Times::new(TimeZone::UTC, THEN + 3600)
    }

    #[test]
    fn every_form_of_header_gives_the_same_second() {
        for line in [
            "Nov 14 22:13:20 web1 sshd[1]: x",
            "<34>Nov 14 22:13:20 web1 sshd[1]: x",
            "<34>1 2023-11-14T22:13:20.5Z web1 sshd - - x",
            "2023-11-14T23:13:20.123456+01:00 web1 x",
            "2023-11-14 22:13:20,123 x",
            "2023:11:14-22:13:20 x",
            "2023 Nov 14 22:13:20 x",
            "11/14-22:13:20.123456 x",
            "11/14/2023-22:13:20.123456 x",
            "1700000000.123 11 x",
            "type=LOGIN msg=audit(1700000000.123:4): x",
            "10.0.0.1 - - [14/Nov/2023:23:13:20 +0100] \"GET / HTTP/1.1\" 200 5",
            "[Tue Nov 14 22:13:20.123456 2023] [core:error] x",
            "[Tue Nov 14 22:13:20 2023] [error] x",
            "Tue Nov 14 22:13:20 2023 1 10.0.0.1 5 /x",
            "[Time 2023.11.14 22:13:20 UTC] [Facility auth] x",
        ] {
            let moment = times().of(line.as_bytes());
            assert_eq!(moment, Moment::utc(THEN), "{line}");
        }
    }

    #[test]
    fn a_line_without_a_time_keeps_that_of_the_line_before() {
        let mut times = times();
        assert_eq!(times.of(b"no time").epoch, THEN + 3600);
        times.of(b"Nov 14 22:13:20 x");
        for line in [&b"no time"[..], b"Nov 14 25:13:20 x", b"Feb 30 10:00:00 x", b"", b"[", b"<1>"]
        {
            assert_eq!(times.of(line).epoch, THEN);
        }
    }

    #[test]
    fn a_year_is_not_in_the_future_and_turns_with_the_lines() {
        let mut times = times();
        // The file is of November 2023, so this December is of 2022.
        assert_eq!(times.of(b"Dec 31 23:59:59 x").year, 2022);
        assert_eq!(times.of(b"Jan  1 00:00:01 x").year, 2023);
        assert_eq!(times.of(b"Dec 31 23:59:58 x").year, 2022);
        assert_eq!(times.of(b"Dec 31 23:59:59 x").year, 2022);
        times.of(b"Nov 10 10:00:00 x");
        assert_eq!(times.of(b"Dec 31 23:59:58 x").year, 2022);
        times.next_file(THEN);
        assert_eq!(times.of(b"Nov 15 10:00:00 x").year, 2023);
    }

    #[test]
    fn a_leap_day_is_of_a_leap_year() {
        let moment = times().of(b"Feb 29 10:00:00 x");
        assert_eq!((moment.year, moment.month, moment.day), (2020, 2, 29));
    }

    #[test]
    fn a_wall_clock_is_that_of_the_zone() {
        let mut times = Times::new(TimeZone::fixed(Offset::constant(2)), THEN);
        let moment = times.of(b"Nov 15 00:13:20 x");
        assert_eq!((moment.epoch, moment.hour, moment.weekday), (THEN, 0, 3));
    }

    #[test]
    fn a_line_cut_anywhere_or_with_any_byte_changed_does_not_panic() {
        for line in [
            "<34>1 2023-11-14T22:13:20.5+01:00",
            "Nov 14 22:13:20",
            "[14/Nov/2023:22:13:20 +0100]",
            "[Tue Nov 14 22:13:20.1 2023]",
            "type=A msg=audit(1700000000.1:4)",
            "[Time 2023.11.14 22:13:20 UTC]",
        ] {
            for end in 0..=line.len() {
                times().of(&line.as_bytes()[..end]);
                for byte in [0, b' ', b'9', b':', 0xFF] {
                    let mut changed = line.as_bytes().to_vec();
                    if let Some(slot) = changed.get_mut(end) {
                        *slot = byte;
                    }
                    times().of(&changed);
                }
            }
        }
    }
}
