//! The budget of a scan: how much of one core and of the disk it may take. Instead of sleeping so long after so many files, whatever those
//! cost, what was really spent is paid for with rest.
//!
//! CPU is that of the whole process, so that work beside the scan (the database, rootcheck) counts too. Rests are short: after 2 ms of CPU at
//! 5 percent, 40 ms. A debt that others made is forgiven above one second, unused time above 50 ms is not saved up.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// No rest for less: waking up costs too.
const LEAST_REST: f64 = 0.005;
/// Longest rest at a time, so that a burst of events does not stop a scan for minutes.
const LONGEST_REST: f64 = 1.0;
/// What a time of little work saves up, in seconds of wall clock.
const SAVED: f64 = 0.05;

/// What a scan may take, and what it has taken since its beginning.
#[derive(Debug)]
pub struct Budget {
    /// Seconds of CPU a second.
    cpu_rate: Option<f64>,
    /// Bytes a second.
    byte_rate: Option<f64>,
    begun: Moment,
    last: Moment,
    /// Seconds of wall clock by which CPU and bytes are ahead of what was allowed.
    cpu_ahead: f64,
    bytes_ahead: f64,
    bytes: u64,
}

/// What was achieved, for the status.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Achieved {
    /// Since the beginning.
    pub wall: Duration,
    /// Of the process.
    pub cpu: Duration,
    /// Read from files.
    pub bytes: u64,
}

/// A point in time, by both clocks.
#[derive(Debug, Clone, Copy)]
struct Moment {
    wall: Instant,
    cpu: Duration,
}

impl Moment {
    fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self { wall: Instant::now(), cpu: cpu.try_into().unwrap_or_default() }
    }
}

impl Budget {
    /// `max_cpu` in percent of one core, `max_mbps` in 10^6 bytes a second; 0 is no limit.
    pub fn new(max_cpu: u8, max_mbps: u32) -> Self {
        Self::begin(max_cpu, max_mbps, Moment::now())
    }

    fn begin(max_cpu: u8, max_mbps: u32, now: Moment) -> Self {
        Self {
            cpu_rate: (max_cpu > 0).then(|| f64::from(max_cpu) / 100.0),
            byte_rate: (max_mbps > 0).then(|| f64::from(max_mbps) * 1e6),
            begun: now,
            last: now,
            cpu_ahead: 0.0,
            bytes_ahead: 0.0,
            bytes: 0,
        }
    }

    /// Begins a scan: what was spent before is no matter.
    pub fn start(&mut self) {
        let now = Moment::now();
        (self.begun, self.last) = (now, now);
        (self.cpu_ahead, self.bytes_ahead, self.bytes) = (0.0, 0.0, 0);
    }

    /// Accounts for `bytes` just read; says how long to rest before going on, if at all. To be asked after each file and each piece of a
    /// large one.
    pub fn spent(&mut self, bytes: u64) -> Option<Duration> {
        // Asking for the time is not for nothing either.
        let limited = self.cpu_rate.is_some() || self.byte_rate.is_some();
        if limited { self.spent_at(bytes, Moment::now()) } else { None }
    }

    fn spent_at(&mut self, bytes: u64, now: Moment) -> Option<Duration> {
        let wall = now.wall.saturating_duration_since(self.last.wall).as_secs_f64();
        let cpu = now.cpu.saturating_sub(self.last.cpu).as_secs_f64();
        self.last = now;
        self.bytes += bytes;
        let cost = |amount: f64, rate: Option<f64>| rate.map_or(0.0, |rate| amount / rate);
        let ahead = |before: f64, cost: f64| (before + cost - wall).clamp(-SAVED, LONGEST_REST);
        self.cpu_ahead = ahead(self.cpu_ahead, cost(cpu, self.cpu_rate));
        self.bytes_ahead = ahead(self.bytes_ahead, cost(bytes as f64, self.byte_rate));
        let rest = self.cpu_ahead.max(self.bytes_ahead);
        (rest >= LEAST_REST).then(|| Duration::from_secs_f64(rest))
    }

    /// What was achieved since the scan began.
    pub fn achieved(&self) -> Achieved {
        Achieved {
            wall: self.last.wall.saturating_duration_since(self.begun.wall),
            cpu: self.last.cpu.saturating_sub(self.begun.cpu),
            bytes: self.bytes,
        }
    }
}

impl Achieved {
    /// Percent of one core.
    pub fn cpu_percent(&self) -> f64 {
        100.0 * per_second(self.cpu.as_secs_f64(), self.wall)
    }

    /// 10^6 bytes a second.
    pub fn mbps(&self) -> f64 {
        per_second(self.bytes as f64, self.wall) / 1e6
    }
}

fn per_second(amount: f64, wall: Duration) -> f64 {
    if wall.is_zero() { 0.0 } else { amount / wall.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Runs `steps` files of `cpu` and `bytes` each, resting as told; gives the figures.
    fn scan(max_cpu: u8, max_mbps: u32, steps: u32, cpu: Duration, bytes: u64) -> Achieved {
        let mut now = Moment { wall: Instant::now(), cpu: Duration::ZERO };
        let mut budget = Budget::begin(max_cpu, max_mbps, now);
        for _ in 0..steps {
            now.wall += cpu;
            now.cpu += cpu;
            if let Some(rest) = budget.spent_at(bytes, now) {
                now.wall += rest;
            }
        }
        budget.spent_at(0, now);
        budget.achieved()
    }

    #[test]
    fn a_scan_takes_the_share_of_a_core_that_it_may() {
        let achieved = scan(5, 0, 10_000, MS / 50, 4096);
        assert!((4.5..5.2).contains(&achieved.cpu_percent()), "{achieved:?}");
    }

    #[test]
    fn a_scan_reads_as_fast_as_it_may() {
        let achieved = scan(0, 10, 1000, MS / 10, 1 << 18);
        assert!((9.0..10.6).contains(&achieved.mbps()), "{achieved:?}");
    }

    #[test]
    fn the_narrower_limit_holds() {
        let achieved = scan(50, 1, 1000, MS / 10, 1 << 18);
        assert!(achieved.mbps() < 1.1 && achieved.cpu_percent() < 50.0, "{achieved:?}");
    }

    #[test]
    fn without_limits_there_is_no_rest() {
        let achieved = scan(0, 0, 1000, MS, 1 << 20);
        assert_eq!((achieved.wall, achieved.cpu), (1000 * MS, 1000 * MS));
    }

    #[test]
    fn work_of_others_does_not_stop_a_scan_for_long() {
        let mut now = Moment { wall: Instant::now(), cpu: Duration::ZERO };
        let mut budget = Budget::begin(5, 0, now);
        now.wall += 60_000 * MS;
        now.cpu += 60_000 * MS;
        assert_eq!(budget.spent_at(0, now), Some(Duration::from_secs(1)));
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let mut now = Moment { wall: Instant::now(), cpu: Duration::ZERO };
        let mut budget = Budget::begin(5, 0, now);
        now.wall += 600_000 * MS;
        assert_eq!(budget.spent_at(0, now), None);
        now.wall += 10 * MS;
        now.cpu += 10 * MS;
        assert!(budget.spent_at(0, now).is_some());
    }
}
