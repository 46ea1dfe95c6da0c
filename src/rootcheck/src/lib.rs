//! Searches a host for traces of an intruder: rootcheck, a part of `ossec-syscheckd`.
pub mod grammar;
#[cfg(test)]
mod testing;
