//! Free memory, given back to the system.
//!
//! The C library keeps what is freed for the next who asks, for ever where it lies between what is still in use. An agent that
//! was flooded once would have the memory of a flooded one from then on.

/// Gives whole free pages back, wherever they lie; for after much was freed. Takes about a millisecond for each few MiB of heap.
/// Elsewhere than with glibc it does nothing.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) takes no pointer, is thread-safe, and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}
