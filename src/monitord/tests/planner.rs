//! Properties of the two plans: whatever lies in the tree, today's logs are left alone, and the order is that of time.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::collections::BTreeSet;
use std::path::Path;

use monitord::closing::{Found, Step, Wishes, steps};
use monitord::daily::{Daily, Form, Part, SERIES};
use monitord::date::Date;
use monitord::retention::{Limits, Reason, Space, deletions};
use proptest::prelude::*;

const FORMS: [Form; 4] = [Form::Plain, Form::Gzip, Form::Zstd, Form::Sum];

fn date(day: u8) -> Date {
    Date::new(2026, 11, day).unwrap()
}

fn daily(series: usize, day: u8, part: u32) -> Daily {
    let part = if part == 0 { Part::Last } else { Part::Numbered(part) };
    Daily { date: date(day), part, series: SERIES[series] }
}

fn found(series: usize, day: u8, part: u32, form: Form) -> Found {
    Found { daily: daily(series, day, part), form, disk_bytes: 100 }
}

prop_compose! {
    fn any_found()(
        series in 0..SERIES.len(), day in 1..=28_u8, part in 0..4_u32, form in 0..4_usize, disk_bytes in 0..10_000_u64,
    ) -> Found {
        Found { disk_bytes, ..found(series, day, part, FORMS[form]) }
    }
}

fn any_tree() -> impl Strategy<Value = Vec<Found>> {
    proptest::collection::vec(any_found(), 0..60).prop_map(|mut files| {
        files.sort_by_key(|file| (file.daily, file.form));
        files.dedup_by_key(|file| (file.daily, file.form));
        files
    })
}

fn any_wishes() -> impl Strategy<Value = Wishes> {
    (any::<bool>(), proptest::option::of(prop_oneof![Just(Form::Gzip), Just(Form::Zstd)]))
        .prop_map(|(sign, pack)| Wishes { sign, pack })
}

fn is_in_tree(path: &Path) -> bool {
    path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
        && SERIES.iter().any(|series| path.starts_with(Path::new("logs").join(series.folder)))
}

proptest! {
    #[test]
    fn closing_touches_no_day_that_is_open_and_stays_in_the_tree(
        tree in any_tree(), closed in 1..=28_u8, wishes in any_wishes(),
    ) {
        for step in steps(&tree, date(closed), wishes) {
            let daily = step.daily();
            prop_assert!(daily.date <= date(closed), "{step:?}");
            prop_assert!(FORMS.iter().all(|form| is_in_tree(&daily.path(*form))));
            match step {
                Step::Sign { previous, .. } => {
                    prop_assert!(wishes.sign);
                    prop_assert!(previous.is_none_or(|previous| previous < daily && previous.series == daily.series));
                }
                Step::Compress { pack, .. } => prop_assert_eq!(Some(pack), wishes.pack),
                Step::Reconcile { aside, .. } => {
                    let part = daily.numbered(aside);
                    prop_assert!(!tree.iter().any(|file| file.daily == part), "{part:?} is there");
                }
            }
        }
    }

    #[test]
    fn closing_keeps_the_order_of_time_and_signs_before_it_compresses(
        tree in any_tree(), closed in 1..=28_u8, wishes in any_wishes(),
    ) {
        let plan = steps(&tree, date(closed), wishes);
        for series in SERIES {
            let days: Vec<Daily> = plan.iter().map(Step::daily).filter(|daily| daily.series == series).collect();
            prop_assert!(days.is_sorted());
        }
        let mut compressed = BTreeSet::new();
        for step in &plan {
            match step {
                Step::Compress { daily, .. } => prop_assert!(compressed.insert(*daily), "twice"),
                Step::Sign { daily, .. } => prop_assert!(!compressed.contains(daily)),
                Step::Reconcile { .. } => {}
            }
        }
    }

    #[test]
    fn each_sum_is_chained_to_the_newest_one_before_it(tree in any_tree(), closed in 1..=28_u8) {
        let wishes = Wishes { sign: true, pack: None };
        let mut sums: BTreeSet<Daily> =
            tree.iter().filter(|file| file.form == Form::Sum).map(|file| file.daily).collect();
        for step in steps(&tree, date(closed), wishes) {
            if let Step::Sign { daily, previous } = step {
                let newest = sums.iter().rfind(|sum| sum.series == daily.series && **sum < daily).copied();
                prop_assert_eq!(previous, newest);
                prop_assert!(sums.insert(daily));
            }
        }
    }

    #[test]
    fn retention_takes_the_oldest_never_todays_and_no_more_than_it_must(
        tree in any_tree(), today in 1..=28_u8, keep in proptest::option::of(0..30_u32),
        most in proptest::option::of(0..200_000_u64), percent in proptest::option::of(0..=90_u8), free in 0..100_000_u64,
    ) {
        let limits = Limits { keep_days: keep, max_bytes: most, min_free_percent: percent };
        let space = Space { total: 100_000, free };
        let gone = deletions(&tree, date(today), limits, Some(space));
        prop_assert!(gone.iter().all(|(file, _)| file.daily.date < date(today)));
        prop_assert!(gone.iter().all(|(file, _)| is_in_tree(&file.daily.path(file.form))));
        prop_assert!(gone.is_sorted_by_key(|(file, _)| (file.daily, file.form)));
        let names: BTreeSet<(Daily, Form)> = gone.iter().map(|(file, _)| (file.daily, file.form)).collect();
        prop_assert_eq!(names.len(), gone.len());
        for series in SERIES {
            let newest = tree.iter().filter(|f| f.form == Form::Sum && f.daily.series == series).map(|f| f.daily).max();
            prop_assert!(newest.is_none_or(|sum| !names.contains(&(sum, Form::Sum))));
        }
        // For each deletion the limit was still exceeded by what was left before it.
        let mut size: u64 = tree.iter().map(|file| file.disk_bytes).sum();
        let mut missing = percent.map_or(0, |percent| space.missing(percent));
        for (file, reason) in &gone {
            match reason {
                Reason::Age(days) => prop_assert!(*days > i64::from(keep.unwrap())),
                Reason::Size(bytes) => prop_assert!(*bytes == size && size > most.unwrap()),
                Reason::Space(bytes) => prop_assert!(*bytes == missing && missing > 0),
            }
            size -= file.disk_bytes;
            missing = missing.saturating_sub(file.disk_bytes);
        }
        let left = tree.iter().filter(|f| f.daily.date < date(today) && f.form != Form::Sum)
            .filter(|file| !names.contains(&(file.daily, file.form)));
        if left.count() > 0 {
            prop_assert!(most.is_none_or(|most| size <= most) && missing == 0, "{size} {missing}");
        }
    }
}

#[test]
fn no_limit_deletes_nothing() {
    let tree = [found(2, 1, 0, Form::Gzip), found(2, 1, 0, Form::Sum), found(2, 2, 0, Form::Sum)];
    let space = Space { total: 100, free: 0 };
    assert_eq!(deletions(&tree, date(28), Limits::default(), Some(space)), []);
}

#[test]
fn what_was_missed_in_a_downtime_is_caught_up_in_order() {
    let tree = [
        found(2, 3, 0, Form::Gzip),
        found(2, 3, 0, Form::Sum),
        found(2, 5, 1, Form::Plain),
        found(2, 5, 0, Form::Plain),
        found(2, 9, 0, Form::Plain),
    ];
    let wishes = Wishes { sign: true, pack: Some(Form::Gzip) };
    let expected = [
        Step::Sign { daily: daily(2, 5, 1), previous: Some(daily(2, 3, 0)) },
        Step::Compress { daily: daily(2, 5, 1), pack: Form::Gzip },
        Step::Sign { daily: daily(2, 5, 0), previous: Some(daily(2, 5, 1)) },
        Step::Compress { daily: daily(2, 5, 0), pack: Form::Gzip },
        // Yesterday had no log: that too is signed.
        Step::Sign { daily: daily(2, 8, 0), previous: Some(daily(2, 5, 0)) },
    ];
    assert_eq!(steps(&tree, date(8), wishes), expected);
}

#[test]
fn a_series_that_was_never_written_gets_no_sums() {
    let wishes = Wishes { sign: true, pack: Some(Form::Gzip) };
    assert_eq!(steps(&[found(2, 9, 0, Form::Plain)], date(8), wishes), []);
}
