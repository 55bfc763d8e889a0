//! The CPU time of this process.

use std::{fs, time::Duration};

/// Returns the CPU time that the threads of this process have used, in user and kernel mode. Linux only.
///
/// # Panics
///
/// The system has no `/proc/self/task/*/schedstat`.
pub(crate) fn used() -> Duration {
    let of = |path: &std::path::Path| -> Option<u64> {
        fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let nanos = tasks.filter_map(|task| of(&task.ok()?.path())).sum();
    assert!(nanos > 0, "no schedstat");
    Duration::from_nanos(nanos)
}
