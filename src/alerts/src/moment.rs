//! When an event was received: seconds since the epoch with the local wall clock that goes with them.
//!
//! The shell fills it in (time zones need files); `2023 Nov 14 22:13:20` is its text in every output.

/// A point in time, broken down in the local zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub epoch: i64,
    /// Four digits.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
}

/// English month names, as in all file names and records.
pub const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Moment {
    /// The moment as a clock in UTC shows it; for tests and for hosts without zone data.
    pub fn utc(epoch: i64) -> Self {
        let days = epoch.div_euclid(86_400);
        let rest = epoch.rem_euclid(86_400);
        let (year, month, day) = civil(days);
        Self {
            epoch,
            year: u16::try_from(year.clamp(0, 9999)).unwrap_or(0),
            month,
            day,
            hour: small(rest / 3600),
            minute: small(rest / 60 % 60),
            second: small(rest % 60),
            weekday: small((days + 4).rem_euclid(7)),
        }
    }

    /// `Jan` to `Dec`.
    pub fn month_name(&self) -> &'static str {
        MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or("Jan")
    }

    /// Appends `2023 Nov 14 22:13:20`.
    pub fn write_date(&self, out: &mut Vec<u8>) {
        let century = self.year / 100 % 100;
        for pair in [century, self.year % 100] {
            two_digits(u8::try_from(pair).unwrap_or(0), out);
        }
        out.push(b' ');
        out.extend_from_slice(self.month_name().as_bytes());
        out.push(b' ');
        two_digits(self.day, out);
        out.push(b' ');
        for (n, part) in [self.hour, self.minute, self.second].into_iter().enumerate() {
            if n > 0 {
                out.push(b':');
            }
            two_digits(part, out);
        }
    }

    /// Minutes since local midnight, for rules' `<time>`.
    pub fn minute_of_day(&self) -> u16 {
        u16::from(self.hour) * 60 + u16::from(self.minute)
    }
}

/// Days since the epoch to year, month, day (Gregorian, proleptic).
fn civil(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, small(month), small(day))
}

fn small(value: i64) -> u8 {
    u8::try_from(value).unwrap_or(0)
}

fn two_digits(value: u8, out: &mut Vec<u8>) {
    out.push(b'0' + value / 10 % 10);
    out.push(b'0' + value % 10);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(moment: Moment) -> String {
        let mut out = Vec::new();
        moment.write_date(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_date_has_two_digits_everywhere() {
        assert_eq!(date(Moment::utc(1_700_000_000)), "2023 Nov 14 22:13:20");
        assert_eq!(date(Moment::utc(1_709_164_799)), "2024 Feb 28 23:59:59");
        assert_eq!(date(Moment::utc(1_709_164_800)), "2024 Feb 29 00:00:00");
        assert_eq!(date(Moment::utc(0)), "1970 Jan 01 00:00:00");
    }

    #[test]
    fn a_weekday_counts_from_sunday() {
        assert_eq!(Moment::utc(0).weekday, 4);
        assert_eq!(Moment::utc(1_700_000_000).weekday, 2);
    }

    #[test]
    fn a_wrong_month_does_not_panic() {
        let moment = Moment { month: 13, ..Moment::default() };
        assert_eq!(moment.month_name(), "Jan");
    }
}
