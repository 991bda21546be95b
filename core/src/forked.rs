//! Whether a thread still runs in the process in which it began, or in a child that user code made of it by `fork`.
//!
//! Such a child holds the parent's sockets and runs the same loop: what it sends is taken for a message of the parent.
//! It has no other thread, so it could not even notice that its worker has ended. It ends before it does anything.

/// The process in which a thread began.
#[derive(Clone, Copy, Debug)]
pub struct Origin(u32);

// By process id, and not by a flag: a fork copies every flag.
impl Origin {
    /// This process.
    #[must_use]
    pub fn here() -> Self {
        Self(std::process::id())
    }

    /// Ends this process at once if it is not the one in which the thread began: a forked child. No exit hook runs and
    /// no buffer is flushed, for both are the parent's. Costs a system call.
    pub fn end_copy(self) {
        if std::process::id() != self.0 {
            end();
        }
    }
}

/// Writes the reason to stderr, as far as that can be done without waiting, and ends the process.
#[cfg(unix)]
fn end() -> ! {
    use rustix::process::{Signal, getpid, kill_process};
    let line = format!(
        "podpool: process {} was forked by a task, a callback or a sink and came back from it; it ends here, and its parent goes on. A forked child must call exec or _exit\n",
        std::process::id()
    );
    // Not by std's stderr: another thread of the parent may have held its lock, for ever in this process.
    if may_write(rustix::stdio::stderr()) {
        let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
    }
    // By a signal: an exit would run the parent's hooks and flush its buffers a second time.
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}

/// Whether a short write to a pipe or a file is taken now.
#[cfg(unix)]
fn may_write(descriptor: std::os::fd::BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut asked = [PollFd::new(&descriptor, PollFlags::OUT)];
    let now = rustix::time::Timespec::default();
    // A pipe that is ready takes a write of up to PIPE_BUF (4,096 bytes) at once.
    // <https://man7.org/linux/man-pages/man7/pipe.7.html>
    poll(&mut asked, Some(&now)).is_ok() && asked[0].revents().contains(PollFlags::OUT)
}

#[cfg(not(unix))]
fn end() -> ! {
    std::process::abort()
}
