//! The programs that people run: ossec-control, ossec-logtest

pub mod control;
pub mod logtest;
