//! Reports that a process has ended, and leaves its status and its id in place: its group can then be swept safely.
//!
//! On Linux a process descriptor (pidfd) becomes readable at the end of the process. Where the kernel has none (before
//! 5.3, gVisor, valgrind), a sandbox refuses it, or descriptors are short, a thread waits instead, as on other systems.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Stack of a thread that only waits.
// One system call in a loop needs a few KiB. The standard library raises this to the least that the system takes.
const STACK: usize = 64 * 1024;

/// Watches one child.
pub(super) struct DeathWatch {
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl DeathWatch {
    pub(super) fn new(pid: Pid) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        match by_descriptor(pid) {
            Ok(watch) => return Ok(watch),
            Err(error) => tracing::debug!(
                %error, %pid, "a slot's process cannot be watched by a descriptor; a thread waits for it"
            ),
        }
        by_thread(pid)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ended.as_mut().poll(cx)
    }
}

#[cfg(target_os = "linux")]
fn by_descriptor(pid: Pid) -> io::Result<DeathWatch> {
    use rustix::process::{PidfdFlags, pidfd_open};
    use tokio::net::unix::pipe::Receiver;
    // Without PIDFD_NONBLOCK, which came later (5.10) than the call (5.3): nothing is read or waited for by it. No race
    // with another process of this id: the child is not reaped, so its id is its own.
    // <https://man7.org/linux/man-pages/man2/pidfd_open.2.html>
    let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
    // "Unchecked" registers any descriptor, and this one becomes readable at the end.
    let descriptor = Receiver::from_owned_fd_unchecked(descriptor)?;
    Ok(DeathWatch {
        ended: Box::pin(async move {
            if let Err(error) = descriptor.readable().await {
                tracing::warn!(%error, "a slot's process cannot be watched; it is killed");
            }
        }),
    })
}

/// A thread that waits for the process and does not reap it. It ends with the process, or when it was reaped.
fn by_thread(pid: Pid) -> io::Result<DeathWatch> {
    // What the system refuses outright must not look like the end of the process.
    ended(pid, WaitIdOptions::NOHANG)?;
    let (tell, told) = tokio::sync::oneshot::channel();
    thread::Builder::new()
        .name("podpool-wait".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            // Any other answer ends the wait: the end of the process, or that it is no child any more because it was
            // reaped.
            while ended(pid, WaitIdOptions::empty()) == Err(Errno::INTR) {}
            // The receiver is gone when the runtime has ended.
            let _ = tell.send(());
        })?;
    Ok(DeathWatch {
        ended: Box::pin(async move {
            // The thread ends in no other way than by a send.
            drop(told.await);
        }),
    })
}

/// Looks for the end of a child, or waits for it, and leaves the child to be reaped.
fn ended(pid: Pid, how: WaitIdOptions) -> Result<(), Errno> {
    // NOWAIT leaves the zombie in place: its id keeps naming the group that `bury` kills.
    // <https://man7.org/linux/man-pages/man2/waitid.2.html>
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | how;
    waitid(WaitId::Pid(pid), options).map(drop)
}

impl fmt::Debug for DeathWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeathWatch")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use super::*;

    fn sleeper() -> (Child, Pid) {
        let child = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::null())
            .spawn();
        let child = child.unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        (child, pid)
    }

    /// The watch reports the end, and the process is still there to be reaped.
    async fn tells_the_end(watch: fn(Pid) -> io::Result<DeathWatch>) {
        let (mut child, pid) = sleeper();
        let mut watch = watch(pid).unwrap();
        let mut end = std::pin::pin!(std::future::poll_fn(|cx| watch.poll(cx)));
        let early = tokio::time::timeout(Duration::from_millis(20), end.as_mut()).await;
        assert!(early.is_err(), "it runs");
        child.kill().unwrap();
        let told = tokio::time::timeout(Duration::from_secs(10), end).await;
        assert!(told.is_ok(), "its end was not reported");
        assert_eq!(child.wait().unwrap().signal(), Some(9), "it was reaped");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_descriptor_reports_the_end() {
        tells_the_end(by_descriptor).await;
    }

    #[tokio::test]
    async fn a_thread_reports_the_end() {
        tells_the_end(by_thread).await;
    }

    #[tokio::test]
    async fn the_thread_ends_with_a_process_that_other_code_reaps() {
        let (mut child, pid) = sleeper();
        let mut watch = by_thread(pid).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let told = std::future::poll_fn(|cx| watch.poll(cx));
        let told = tokio::time::timeout(Duration::from_secs(10), told).await;
        assert!(told.is_ok(), "the thread does not wait");
        let nobody = by_thread(pid).err().and_then(|error| error.raw_os_error());
        assert_eq!(nobody, Some(Errno::CHILD.raw_os_error()));
    }
}
