//! The rate at which events are sent: a manager that comes back is not flooded with what has waited for it.

use std::time::Duration;

use crate::link::Moment;

/// So many events in a second, and a fiftieth of that at once: a manager's socket holds a few hundred by default.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: f64,
    level: f64,
    filled: Moment,
}

impl Bucket {
    /// With this many events in a second.
    pub(crate) fn new(rate: u64) -> Self {
        let rate = f64::from(u32::try_from(rate).unwrap_or(u32::MAX)).max(1.0);
        Self { rate, level: Self::burst(rate), filled: Moment::ZERO }
    }

    fn burst(rate: f64) -> f64 {
        (rate / 50.0).max(1.0)
    }

    /// Whether one more may be sent now.
    pub(crate) fn has_one(&mut self, now: Moment) -> bool {
        let gained = now.saturating_sub(self.filled).as_secs_f64() * self.rate;
        self.level = (self.level + gained).min(Self::burst(self.rate));
        self.filled = now;
        self.level >= 1.0
    }

    /// One was sent.
    pub(crate) fn take(&mut self) {
        self.level -= 1.0;
    }

    /// When it is worth to ask again.
    pub(crate) fn ready_at(&self, now: Moment) -> Moment {
        if self.level >= 1.0 {
            return now;
        }
        // A burst's worth at a time, instead of a wake for each event.
        let missing = (Self::burst(self.rate) / 4.0).max(1.0) - self.level;
        self.filled + Duration::from_secs_f64(missing / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_over_time() {
        let mut bucket = Bucket::new(100);
        let mut sent = 0;
        for ms in 0..2000 {
            while bucket.has_one(Duration::from_millis(ms)) {
                bucket.take();
                sent += 1;
            }
        }
        assert!((200..=203).contains(&sent), "{sent}");
    }

    #[test]
    fn an_empty_bucket_says_when_it_will_have_one() {
        let mut bucket = Bucket::new(10);
        let now = Duration::from_secs(5);
        while bucket.has_one(now) {
            bucket.take();
        }
        let at = bucket.ready_at(now);
        assert!(at > now && bucket.has_one(at), "{at:?}");
    }
}
