//! Files seen through a command: `prefilter_cmd`.

use std::fs;

use settings::CheckOptions;

use crate::bench::Bench;

fn bench(script: &str, realtime: bool) -> Bench {
    let options = CheckOptions { perm: true, md5: true, realtime, ..CheckOptions::default() };
    let mut bench = Bench::with(options);
    let filter = bench.home.path().join("filter");
    fs::write(&filter, script).unwrap();
    bench.syscheck.prefilter_cmd = Some(format!("/bin/sh {}", filter.display()));
    bench
}

#[test]
fn what_the_command_leaves_out_is_no_change_in_scans() {
    let bench = bench("grep -v '^#' \"$1\"", false);
    bench.write("a", "# comment\nvalue\n");
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();

    bench.write("a", "# another comment\nvalue\n");
    bench.scan(&mut watcher);
    assert!(bench.told().is_empty(), "only a comment has changed");

    bench.write("a", "# another comment\nanother value\n");
    bench.scan(&mut watcher);
    assert_eq!(bench.told(), crate::bench::names(&[("a", (1, 0))]));
}

#[test]
fn what_the_command_leaves_out_is_no_change_in_realtime() {
    let bench = bench("grep -v '^#' \"$1\"", true);
    bench.write("a", "# comment\nvalue\n");
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();
    bench.write("a", "# another comment\nvalue\n");
    bench.write("c", "four\n");
    bench.hear(&mut watcher, &[("c", (1, 0))]);
}

#[test]
fn a_file_that_ends_its_command_is_told_as_changed() {
    let bench = bench("grep -q bad \"$1\" && kill -9 $$; echo same", false);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();
    bench.write("a", "good");
    bench.scan(&mut watcher);
    assert!(bench.told().is_empty());
    bench.write("a", "bad");
    bench.scan(&mut watcher);
    assert_eq!(bench.told(), crate::bench::names(&[("a", (1, 0))]));
}
