//! Complaints that outsiders can cause at will: a few a minute are logged, the rest is counted and summed up.

use std::time::Duration;

/// Lines a minute.
const MAX_A_MINUTE: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// What has been said in the current minute.
#[derive(Debug, Default)]
pub struct Complaints {
    minute_began: Duration,
    said: u32,
    kept_back: u64,
}

impl Complaints {
    /// Whether one more line may be written now; if not, it is counted.
    pub fn may_speak(&mut self, now: Duration) -> bool {
        if self.kept_back == 0 && now >= self.minute_began + MINUTE {
            self.minute_began = now;
            self.said = 0;
        }
        let may = self.said < MAX_A_MINUTE;
        self.said = self.said.saturating_add(1);
        self.kept_back += u64::from(!may);
        may
    }

    /// The sum of what was kept back, once its minute is over.
    pub fn summary(&mut self, now: Duration) -> Option<String> {
        if self.kept_back == 0 || now < self.minute_began + MINUTE {
            return None;
        }
        let text = format!("{} more lines like the last ones were not written", self.kept_back);
        *self = Self { minute_began: now, said: 0, kept_back: 0 };
        Some(text)
    }

    /// How long until [`Complaints::summary`] has something.
    pub fn due(&self, now: Duration) -> Option<Duration> {
        (self.kept_back > 0).then(|| (self.minute_began + MINUTE).saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_summed_up() {
        let mut complaints = Complaints::default();
        let spoken = (0..1000).filter(|_| complaints.may_speak(Duration::from_secs(1))).count();
        assert_eq!(spoken, 20);
        assert_eq!(complaints.summary(Duration::from_secs(59)), None);
        assert_eq!(complaints.due(Duration::from_secs(59)), Some(Duration::from_secs(1)));
        let text = complaints.summary(Duration::from_secs(60)).unwrap();
        assert_eq!(text, "980 more lines like the last ones were not written");
        assert!(complaints.may_speak(Duration::from_secs(61)));
        assert_eq!(complaints.summary(Duration::from_secs(200)), None);
    }
}
