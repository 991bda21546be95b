//! Tells that a process has ended, and leaves its status and its id in place: its group can then be swept safely.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::process::Pid;

/// Watches one child.
#[cfg(target_os = "linux")]
pub(super) struct DeathWatch {
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

#[cfg(target_os = "linux")]
impl DeathWatch {
    pub(super) fn new(pid: Pid) -> io::Result<Self> {
        use rustix::process::{PidfdFlags, pidfd_open};
        use tokio::net::unix::pipe::Receiver;
        let descriptor = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        // Nothing is read from it: "unchecked" registers any descriptor, and this one becomes readable at the end.
        let descriptor = Receiver::from_owned_fd_unchecked(descriptor)?;
        Ok(Self {
            ended: Box::pin(async move {
                if let Err(error) = descriptor.readable().await {
                    tracing::warn!(%error, "a slot's process cannot be watched; it is killed");
                }
            }),
        })
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ended.as_mut().poll(cx)
    }
}

/// Watches one child, by a thread that waits for it.
#[cfg(not(target_os = "linux"))]
pub(super) struct DeathWatch {
    ended: tokio::sync::oneshot::Receiver<()>,
}

#[cfg(not(target_os = "linux"))]
impl DeathWatch {
    pub(super) fn new(pid: Pid) -> io::Result<Self> {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let (tell, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("podpool-wait".to_owned())
            .spawn(move || {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                while waitid(WaitId::Pid(pid), options) == Err(rustix::io::Errno::INTR) {}
                // Nobody listens any more when the runtime has ended.
                drop(tell.send(()));
            })?;
        Ok(Self { ended })
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.ended).poll(cx).map(drop)
    }
}

impl fmt::Debug for DeathWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeathWatch")
    }
}
