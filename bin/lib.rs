//! The suite: see bin/ for the programs, src/ for the crates, tests/ for the suite as a whole.
