//! Places at which a test has this process end as if it were killed: what is on the disk is then all there is.
//!
//! The variable `LICTOR_FAIL_POINT` names one point and how often it is passed before: `snapshot-written:3` ends the process at
//! the fourth. It is read in builds with debug assertions only; in others a point is nothing at all.

/// The points. `tests/src/crash` names them the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailPoint {
    /// Log entries are on the disk, and nobody has been told.
    LogAppended,
    /// A snapshot is on the disk under its unfinished name.
    SnapshotWritten,
    /// A snapshot has its name; what it makes superfluous is still there.
    SnapshotRenamed,
}

#[cfg(debug_assertions)]
mod enabled {
    use std::{
        env, process,
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
        },
    };

    use super::FailPoint;

    /// Where the point to end at is named.
    const VARIABLE: &str = "LICTOR_FAIL_POINT";

    impl FailPoint {
        fn name(self) -> &'static str {
            match self {
                Self::LogAppended => "log-appended",
                Self::SnapshotWritten => "snapshot-written",
                Self::SnapshotRenamed => "snapshot-renamed",
            }
        }

        /// Ends the process here if that is asked for and the point has been passed often enough.
        pub fn pass(self) {
            static CHOSEN: OnceLock<Option<(String, u64)>> = OnceLock::new();
            static PASSED: AtomicU64 = AtomicU64::new(0);
            let chosen = CHOSEN.get_or_init(|| {
                let text = env::var(VARIABLE).ok()?;
                let (name, before) = text.split_once(':')?;
                Some((name.to_owned(), before.parse().ok()?))
            });
            let Some((name, before)) = chosen else { return };
            if name == self.name() && PASSED.fetch_add(1, Ordering::Relaxed) >= *before {
                process::abort();
            }
        }
    }
}

#[cfg(not(debug_assertions))]
impl FailPoint {
    #[inline(always)]
    pub fn pass(self) {}
}
