//! `<scan_time>` and `<scan_day>`: when of a day, and on which days of the week.

/// A local time, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

impl TimeOfDay {
    /// `hh[:mm][am|pm]`, on a clock of 24 hours without am or pm, of 12 hours with them.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let (clock, half) = match (lower.strip_suffix("am"), lower.strip_suffix("pm")) {
            (Some(clock), _) => (clock, Some(0)),
            (_, Some(clock)) => (clock, Some(12)),
            _ => (lower.as_str(), None),
        };
        let (hour, minute) = clock.trim_end().split_once(':').unwrap_or((clock.trim_end(), "00"));
        let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
        let hour = match half {
            None => hour,
            Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
            Some(_) => return None,
        };
        (hour < 24 && minute < 60).then_some(Self { hour, minute })
    }
}

fn two_digits(text: &str) -> Option<u8> {
    let sound = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| sound)
}

/// A set of days of the week.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weekdays {
    /// One bit a day, Sunday the lowest.
    bits: u8,
}

const DAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const WEEKDAYS: u8 = 0b011_1110;
const WEEKENDS: u8 = 0b100_0001;

impl Weekdays {
    /// Names in full or of three letters, `weekdays`, `weekends`, separated by commas or spaces, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bits = 0;
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            let word = word.to_ascii_lowercase();
            bits |= match word.as_str() {
                "weekdays" => WEEKDAYS,
                "weekends" => WEEKENDS,
                _ => {
                    let names = |day: &str| day == word || day.get(..3) == Some(word.as_str());
                    1 << DAYS.iter().position(|day| names(day))?
                }
            };
        }
        (bits != 0).then_some(Self { bits })
    }

    /// Whether the day is in the set; 0 is Sunday, 6 Saturday.
    pub fn contains(self, weekday: u8) -> bool {
        weekday < 7 && self.bits & (1 << weekday) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_on_both_clocks() {
        let time = |text| TimeOfDay::parse(text).map(|t| (t.hour, t.minute));
        assert_eq!(time("8"), Some((8, 0)));
        assert_eq!(time("21:05"), Some((21, 5)));
        assert_eq!(time("12am"), Some((0, 0)));
        assert_eq!(time("12:30 PM"), Some((12, 30)));
        assert_eq!(time("9:15pm"), Some((21, 15)));
        for bad in ["", "25:00", "24", "12:60", "0am", "13pm", "1:", ":1", "1:2:3", "+1", "123"] {
            assert_eq!(time(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn days_are_read_by_name_and_by_group() {
        let days = |text| {
            let set = Weekdays::parse(text)?;
            Some((0..8).filter(|day| set.contains(*day)).collect::<Vec<u8>>())
        };
        assert_eq!(days("sunday"), Some(vec![0]));
        assert_eq!(days("Mon, WED friday"), Some(vec![1, 3, 5]));
        assert_eq!(days("weekends,tue"), Some(vec![0, 2, 6]));
        assert_eq!(days("weekdays"), Some(vec![1, 2, 3, 4, 5]));
        for bad in ["", ",", "funday", "mond", "mo"] {
            assert_eq!(days(bad), None, "{bad:?}");
        }
    }
}
