//! A day of the local calendar, as it stands in the names of daily files: `2026/Nov/...-21`.

use std::fmt;

use alerts::moment::MONTHS;

/// One day; ordered as time goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// `None` when there is no such day, or its year has not four digits.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let is_one = (1000..=9999).contains(&year) && (1..=12).contains(&month);
        (is_one && (1..=days_of(year, month)).contains(&day)).then_some(Self { year, month, day })
    }

    /// Reads the names of a year's and a month's folder, and a day of two digits.
    pub fn parse(year: &str, month: &str, day: &str) -> Option<Self> {
        let is_number =
            |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(year, 4) || !is_number(day, 2) {
            return None;
        }
        let month = MONTHS.iter().position(|name| *name == month)? + 1;
        Self::new(year.parse().ok()?, u8::try_from(month).ok()?, day.parse().ok()?)
    }

    /// Four digits.
    pub fn year(self) -> u16 {
        self.year
    }

    /// 1 to 31.
    pub fn day(self) -> u8 {
        self.day
    }

    /// `Jan` to `Dec`.
    pub fn month_name(self) -> &'static str {
        MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or("Jan")
    }

    /// The day before; the first day of the year 1000 has none and stays.
    #[must_use]
    pub fn yesterday(self) -> Self {
        let Self { year, month, day } = self;
        let before = match (month, day) {
            (1, 1) => Self::new(year.saturating_sub(1), 12, 31),
            (_, 1) => Self::new(year, month - 1, days_of(year, month - 1)),
            _ => Self::new(year, month, day - 1),
        };
        before.unwrap_or(self)
    }

    /// Days since the beginning of the year 0: for differences.
    pub fn number(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        year * 365 + year / 4 - year / 100 + year / 400 + day_of_year
    }
}

/// `2026-11-21`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

fn days_of(year: u16, month: u8) -> u8 {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_each_other_without_a_gap() {
        let mut date = Date::new(2401, 1, 1).unwrap();
        while date > Date::new(1899, 1, 1).unwrap() {
            let before = date.yesterday();
            assert!(before < date);
            assert_eq!(before.number() + 1, date.number(), "{date}");
            date = before;
        }
    }

    #[test]
    fn only_days_that_exist_are_read() {
        assert_eq!(Date::parse("2024", "Feb", "29"), Date::new(2024, 2, 29));
        for (year, month, day) in [
            ("2023", "Feb", "29"),
            ("2023", "feb", "01"),
            ("2023", "Feb", "1"),
            ("2023", "Feb", "+1"),
            ("0023", "Feb", "01"),
            ("+023", "Feb", "01"),
            ("2023", "..", "01"),
            ("", "", ""),
        ] {
            assert_eq!(Date::parse(year, month, day), None, "{year} {month} {day}");
        }
    }
}
