//! Configuration: as this program reads it, and as each daemon does (`-t`).

use super::Patient;
use super::finding::Finding;
use crate::control::check;

const CHECK: &str = "configuration";

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let root = &patient.suite.root;
    let tried = "read etc/ossec.conf and internal_options.conf, have each daemon check them (-t)";
    let remedy = "Correct the line that is named; 'ossec-control restart' applies it.";
    if let Err(errors) = settings::load(&root.join("etc/ossec.conf")) {
        return vec![Finding::problem(CHECK, tried, errors.to_string(), remedy)];
    }
    if let Err(errors) = settings::InternalOptions::load(root) {
        return vec![Finding::problem(CHECK, tried, errors.to_string(), remedy)];
    }
    vec![match check::all(root, patient.suite.install) {
        Ok(()) => Finding::fine(CHECK, tried, "all of it is good"),
        Err(broken) => Finding::problem(CHECK, tried, broken.to_string(), remedy),
    }]
}
