//! How many threads this process has.

/// The number of threads; none where no single system call reports it.
#[cfg(target_os = "linux")]
pub(super) fn count() -> Option<u64> {
    use std::os::fd::OwnedFd;
    use std::sync::OnceLock;

    use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, open, statx};

    /// The directory of this process's threads. Its links are `.`, `..`, and one for each thread.
    static TASKS: OnceLock<Option<OwnedFd>> = OnceLock::new();
    // Opened once: the descriptor names this process for its life, and each count is one system call without a path.
    let tasks = TASKS.get_or_init(|| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open("/proc/self/task", flags, Mode::empty()).ok()
    });
    let tasks = tasks.as_ref()?;
    let links = statx(tasks, c"", AtFlags::EMPTY_PATH, StatxFlags::NLINK)
        .ok()?
        .stx_nlink;
    // Other systems that show a /proc may count otherwise.
    u64::from(links).checked_sub(2).filter(|count| *count > 0)
}

/// The number of threads; none where no single system call reports it.
#[cfg(not(target_os = "linux"))]
pub(super) fn count() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn a_thread_that_starts_is_counted() {
        // Other tests start and end threads meanwhile, so many are started here.
        let before = super::count().unwrap();
        let (end, ended) = channel::<()>();
        let ended = std::sync::Arc::new(std::sync::Mutex::new(ended));
        for _ in 0..200 {
            let ended = ended.clone();
            thread::spawn(move || ended.lock().unwrap().recv());
        }
        assert!(super::count().unwrap() > before + 100);
        drop(end);
    }
}
