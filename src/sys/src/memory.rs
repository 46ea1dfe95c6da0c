//! How the C library keeps memory that a program has given back.

/// Lets all threads share at most `count` pools of memory: each pool keeps what it once had.
///
/// For programs whose threads allocate little while they work. Other C libraries than glibc have no such pools.
pub fn share_pools(count: u8) {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two numbers and changes settings of the allocator, under its own lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, libc::c_int::from(count));
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = count;
}

/// Gives free memory back to the system; after much of it was needed for a while.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes a number and releases pages that hold nothing in use, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_in_use_stays_as_it_is() {
        super::share_pools(2);
        let kept: Vec<Vec<u8>> = (0..200).map(|n| vec![n; 5000]).collect();
        drop(kept.clone());
        super::give_back();
        assert!(kept.iter().zip(0..200).all(|(bytes, n)| *bytes == vec![n; 5000]));
    }
}
