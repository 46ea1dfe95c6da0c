//! The engine alone, by the example program `speed` of the crate `rules`, and under callgrind where valgrind is there.

use std::path::Path;
use std::process::Command;

/// The program, and the folder with its decoders and rules.
pub struct Speed<'a> {
    pub program: &'a Path,
    pub rules: &'a Path,
}

impl Speed<'_> {
    pub fn measure(&self) {
        for case in ["none", "ssh"] {
            let (target, aim) =
                if case == "none" { ("<= 9,000", "4,000") } else { ("<= 12,000", "6,000") };
            if let Some(each) = self.nanoseconds(case, 300_000) {
                println!("| engine alone, {case} | {each:.0} ns an event on one core | |");
            }
            match self.instructions(case) {
                Some(each) => println!(
                    "| engine alone, {case}, instructions | {each:.0} an event | {target} (aim {aim}) |"
                ),
                None => println!(
                    "| engine alone, {case}, instructions | valgrind is not there | {target} |"
                ),
            }
        }
        for (name, base, with, target) in [
            ("rules doubled", "none", "doubled", "<= 1.1"),
            ("5,000 literal siblings", "none", "siblings", "<= 1.2"),
            ("100 frequency rules", "frequency-base", "frequency", "<= 1.5"),
        ] {
            // The least of three: what else the machine did only adds.
            let least =
                |case| (0..3).filter_map(|_| self.nanoseconds(case, 100_000)).reduce(f64::min);
            if let (Some(before), Some(after)) = (least(base), least(with)) {
                println!(
                    "| {name}, time beside without | {:.2} ({before:.0} ns, {after:.0} ns) | {target} |",
                    after / before
                );
            }
        }
        if let Some(line) = self.run("hostile", 10_000) {
            let slowest = line
                .split("slowest ")
                .nth(1)
                .and_then(|rest| rest.split(',').next())
                .unwrap_or("?");
            println!("| slowest of 10,000 hostile lines | {slowest} | < 20 ms |");
        }
    }

    fn run(&self, case: &str, events: u32) -> Option<String> {
        let mut command = Command::new(self.program);
        let output = command.args([case, &events.to_string()]).arg(self.rules).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn nanoseconds(&self, case: &str, events: u32) -> Option<f64> {
        self.run(case, events)?.split(": ").nth(1)?.split(' ').next()?.parse().ok()
    }

    /// By the difference of two run lengths: what loading costs is left out, and what the first use of each line costs.
    fn instructions(&self, case: &str) -> Option<f64> {
        const LENGTHS: [u32; 2] = [20_000, 40_000];
        let [short, long] = LENGTHS.map(|events| {
            let mut command = Command::new("valgrind");
            command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(self.program);
            let output = command.args([case, &events.to_string()]).arg(self.rules).output().ok()?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            text.split("Collected : ").nth(1)?.split_whitespace().next()?.parse::<f64>().ok()
        });
        Some((long? - short?) / f64::from(LENGTHS[1] - LENGTHS[0]))
    }
}
