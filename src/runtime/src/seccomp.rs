//! The filter of system calls: a list of what no daemon does, answered with EPERM.
//!
//! A list of what is denied, not of what is allowed: the calls that a C library makes change with its version,
//! and a daemon that is killed by its own filter after an update watches nothing.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};
use sys::syscall;

/// Installs the filter for the whole process.
pub(crate) fn close_calls(network: bool, bind: bool, exec: bool) {
    match program(network, bind, exec)
        .map(|program| seccompiler::apply_filter_all_threads(&program))
    {
        Ok(Ok(())) => log::debug!("system calls filtered (network: {network}, programs: {exec})"),
        Ok(Err(error)) => {
            log::info!("This kernel takes no filter of system calls: {}.", error)
        }
        Err(error) => log::info!("There is no filter of system calls for this machine: {error}."),
    }
}

fn program(network: bool, bind: bool, exec: bool) -> Result<BpfProgram, BackendError> {
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let programs = if exec { &[] } else { syscall::WITH_PROGRAMS_ONLY };
    for &call in syscall::NEVER.iter().chain(programs) {
        deny(&mut rules, call, &[])?;
    }
    if !network {
        let families = syscall::NETWORK_FAMILIES.iter();
        let closed = families.filter(|family| !bind || !syscall::WITH_PORTS.contains(family));
        deny(&mut rules, syscall::SOCKET, &closed.copied().collect::<Vec<_>>())?;
    }
    if let Some(bit) = syscall::X32 {
        // execve and execveat stay open for daemons that run programs.
        let own = syscall::X32_OWN.iter().filter(|call| !exec || ![520, 545].contains(*call));
        for call in own {
            deny(&mut rules, call | bit, &[])?;
        }
    }
    let errno = SeccompAction::Errno(rustix::io::Errno::PERM.raw_os_error().unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, errno, machine)?.try_into()
}

/// Denies a call (by both of its doors), or only where its first argument is one of `first`.
fn deny(
    rules: &mut BTreeMap<i64, Vec<SeccompRule>>,
    call: i64,
    first: &[i32],
) -> Result<(), BackendError> {
    let mut conditions = Vec::new();
    for &value in first {
        let value = u64::from(value.unsigned_abs());
        let equal = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?;
        conditions.push(SeccompRule::new(vec![equal])?);
    }
    if let Some(bit) = syscall::X32 {
        rules.insert(call | bit, conditions.clone());
    }
    rules.insert(call, conditions);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_fits_into_a_filter() {
        for bits in 0..8 {
            match program(bits & 1 != 0, bits & 2 != 0, bits & 4 != 0) {
                Ok(program) => assert!(program.len() < 4096, "{}", program.len()),
                Err(error) => println!("skipped: {error}"),
            }
        }
    }
}
