//! When a rule holds: `<time>6 pm - 8:30 am</time>` and `<weekday>weekends, mon</weekday>`, in local receive time.

use std::fmt;

/// A span of the day, in minutes since midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DayTime {
    first: u16,
    last: u16,
    /// Holds outside of the span.
    outside: bool,
}

impl DayTime {
    /// Reads `[!] H[H][:MM] [am|pm] - H[H][:MM] [am|pm]`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii_start();
        let (negated, text) = match text.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (first, rest) = clock(text.trim_ascii_start())?;
        let rest = rest.trim_ascii_start().strip_prefix(b"-")?;
        let (last, rest) = clock(rest.trim_ascii_start())?;
        if !rest.trim_ascii().is_empty() {
            return None;
        }
        Some(if first > last {
            // Over midnight: all but the hours between, whose boundary minutes are left out; a `!` has no effect.
            Self { first: last, last: first, outside: true }
        } else {
            Self { first, last, outside: negated }
        })
    }

    /// All other minutes.
    pub(crate) fn inverted(self) -> Self {
        Self { outside: !self.outside, ..self }
    }

    /// Whether this minute of the day is meant.
    pub(crate) fn contains(self, minute: u16) -> bool {
        (self.first..=self.last).contains(&minute) != self.outside
    }
}

impl fmt::Display for DayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, outside } = *self;
        let not = if outside { "not " } else { "" };
        write!(f, "{not}{:02}:{:02} - {:02}:{:02}", first / 60, first % 60, last / 60, last % 60)
    }
}

fn clock(text: &[u8]) -> Option<(u16, &[u8])> {
    let (hour, mut rest) = digits(text)?;
    let mut minute = 0;
    if let Some(after) = rest.strip_prefix(b":") {
        (minute, rest) = digits(after)?;
    }
    let mut hour = hour;
    let word = rest.trim_ascii_start();
    let suffix: Vec<u8> = word.iter().take(2).map(u8::to_ascii_lowercase).collect();
    match suffix.as_slice() {
        // Twelve stays twelve in both: `12 am` is noon here, as it always was.
        b"am" => rest = word.get(2..).unwrap_or_default(),
        b"pm" => {
            rest = word.get(2..).unwrap_or_default();
            if hour != 12 {
                hour += 12;
            }
        }
        _ => {}
    }
    (hour < 24 && minute < 60).then_some((hour * 60 + minute, rest))
}

/// One or two digits.
fn digits(text: &[u8]) -> Option<(u16, &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=2).contains(&count) {
        return None;
    }
    let (digits, rest) = text.split_at_checked(count)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// A set of weekdays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weekdays(u8);

impl Weekdays {
    /// All other days.
    pub(crate) fn inverted(self) -> Self {
        Self(!self.0 & 0b0111_1111)
    }

    /// Reads names separated by blanks or commas.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        const NAMES: [(&[u8], u8); 16] = [
            (b"sunday", 1),
            (b"sun", 1),
            (b"monday", 2),
            (b"mon", 2),
            (b"tuesday", 4),
            (b"tue", 4),
            (b"wednesday", 8),
            (b"wed", 8),
            (b"thursday", 16),
            (b"thu", 16),
            (b"friday", 32),
            (b"fri", 32),
            (b"saturday", 64),
            (b"sat", 64),
            (b"weekdays", 0b0011_1110),
            (b"weekends", 0b0100_0001),
        ];
        let mut days = 0;
        for word in text.split(|&byte| byte == b' ' || byte == b',') {
            if word.is_empty() {
                continue;
            }
            let known = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word))?;
            days |= known.1;
        }
        (days != 0).then_some(Self(days))
    }

    /// Whether the day, 0 for Sunday, is one of them.
    pub(crate) fn contains(self, day: u8) -> bool {
        day < 7 && self.0 >> day & 1 == 1
    }
}

impl fmt::Display for Weekdays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = (0..7).filter(|&day| self.contains(day)).map(day_name);
        f.write_str(&days.collect::<Vec<_>>().join(" "))
    }
}

/// Name of a day; 0 is Sunday.
pub(crate) fn day_name(day: u8) -> &'static str {
    const NAMES: [&str; 7] =
        ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    NAMES.get(usize::from(day)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_excludes_its_boundary_minutes() {
        let night = DayTime::parse(b"6 pm - 8:30 am").unwrap();
        assert!(night.contains(22 * 60));
        assert!(night.contains(8 * 60 + 29));
        assert!(!night.contains(8 * 60 + 30));
        assert!(!night.contains(18 * 60));
    }

    #[test]
    fn twelve_is_noon_with_either_suffix() {
        assert_eq!(DayTime::parse(b"12 am - 12 pm").unwrap(), DayTime::parse(b"12 - 12").unwrap());
    }

    #[test]
    fn weekday_names_are_whole_words() {
        assert_eq!(Weekdays::parse(b"thurs"), None);
        assert_eq!(Weekdays::parse(b"!mon"), None);
        let days = Weekdays::parse(b"weekends,Mon").unwrap();
        let met: Vec<bool> = (0..7).map(|day| days.contains(day)).collect();
        assert_eq!(met, [true, true, false, false, false, false, true]);
    }
}
