//! Why a slot did not start: what the system refused, whether that may pass, and what to do about it.

use std::io;
use std::thread;
use std::time::Duration;

#[cfg(unix)]
use rustix::io::Errno;

use crate::registry::RegistryError;

/// Exit code of a slot for which the system was short of something: `EX_TEMPFAIL`.
pub(crate) const EXIT_SHORTAGE: i32 = 75;

/// Why a slot did not start. No task was lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The executable did not start.
    #[error(
        "the slot's process {path} did not start: {source}; {}",
        remedy(Request::Program, source)
    )]
    Spawn {
        /// The executable.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The system refused what a slot needs beside its process.
    #[error(
        "the system refused {what} for a slot: {source}; {}",
        remedy(Request::Other, source)
    )]
    Refused {
        /// What was requested.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Slots that are processes need sockets and process groups of a Unix system.
    #[error(
        "slots cannot be processes on this system: podpool starts them on Linux and macOS only; use Isolation::InProcess"
    )]
    NoProcesses,
    /// The program's tasks cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The initializer's arguments cannot be sent.
    #[error(transparent)]
    Codec(#[from] crate::codec::CodecError),
}

impl StartError {
    pub(super) fn refused(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Refused { what, source }
    }

    /// Whether the system is short of something for now: the same start may succeed later.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        match self {
            Self::Spawn { source, .. } | Self::Refused { source, .. } => is_shortage(source),
            Self::NoProcesses | Self::Registry(_) | Self::Codec(_) => false,
        }
    }
}

/// Whether an error of the system means a shortage for now, and not that the call can never succeed.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    match Reason::of(error) {
        Reason::ProcessFiles
        | Reason::SystemFiles
        | Reason::Processes
        | Reason::Memory
        | Reason::Room
        | Reason::Busy => true,
        Reason::Forbidden | Reason::Missing | Reason::NotExecutable | Reason::Other => false,
    }
}

/// Repeats a call to the system while it is short of something, for about five seconds. It blocks the thread.
#[expect(
    clippy::disallowed_methods,
    reason = "the end of a shortage is no event"
)]
pub(super) fn patiently<T>(mut ask: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    // 10 ms doubled up to 2.56 s: nine pauses, 5.1 s together. It blocks the thread of one slot, whose task waits for
    // the runtime.
    let mut pause = Duration::from_millis(10);
    loop {
        match ask() {
            Err(error) if is_shortage(&error) && pause < Duration::from_secs(4) => {
                thread::sleep(pause);
                pause *= 2;
            }
            answer => return answer,
        }
    }
}

/// What was requested of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To start a program.
    Program,
    /// Anything else: descriptors, sockets, threads.
    Other,
}

/// The advice, or that there is none.
fn remedy(request: Request, error: &io::Error) -> &'static str {
    advice(request, error).unwrap_or(
        "no remedy is known for this cause; Isolation::InProcess runs tasks without processes",
    )
}

/// What to do about a refusal of the system, by its cause; `None` for a cause without a known remedy.
#[must_use]
pub fn advice(request: Request, error: &io::Error) -> Option<&'static str> {
    let advice = match (Reason::of(error), request) {
        (Reason::ProcessFiles, _) => {
            "raise this process's limit on open files (`ulimit -n`) or use fewer slots (`max_workers`)"
        }
        (Reason::SystemFiles, _) => {
            "the whole machine is out of open files: end what holds them, raise fs.file-max, or use fewer slots (`max_workers`)"
        }
        (Reason::Processes, _) => {
            "raise the limit on processes and threads (`ulimit -u`, in a container pids.max) or use fewer slots (`max_workers`)"
        }
        (Reason::Memory, _) => {
            "free memory, raise the container's or the user's memory limit, or use fewer slots (`max_workers`)"
        }
        (Reason::Room, _) => {
            "a quota is used up: raise fs.epoll.max_user_watches, make room in the directory for temporary files, or use fewer slots (`max_workers`)"
        }
        (Reason::Busy, _) => {
            "the executable is being written: wait until the build or copy has ended"
        }
        (Reason::Forbidden, _) => {
            "a sandbox (seccomp, gVisor, a security module) or an old kernel does not allow this system call: allow it, or use Isolation::InProcess"
        }
        (Reason::Missing, Request::Program) => {
            "the executable or its loader is gone, or /proc is not mounted: put it back, mount /proc, or start the program again"
        }
        (Reason::Missing, Request::Other) => {
            "a file or directory that it needs is missing: see that /proc is mounted and that the directory for temporary files (TMPDIR) exists"
        }
        (Reason::NotExecutable, Request::Program) => {
            "see that the user may execute the file, that its file system is not mounted noexec, and that no security module (SELinux, AppArmor) denies it"
        }
        (Reason::NotExecutable, Request::Other) => {
            "see that the user may do this here, and that no security module (SELinux, AppArmor) denies it"
        }
        (Reason::Other, _) => return None,
    };
    Some(advice)
}

/// The cause behind an error number, as far as it changes what can be done.
#[cfg_attr(
    not(unix),
    expect(dead_code, reason = "not every system reports all of them")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    ProcessFiles,
    SystemFiles,
    Processes,
    Memory,
    Room,
    Busy,
    Forbidden,
    Missing,
    NotExecutable,
    Other,
}

#[cfg(unix)]
impl Reason {
    fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::MFILE) => Self::ProcessFiles,
            Some(Errno::NFILE) => Self::SystemFiles,
            // What `fork` and `pthread_create` give at the limit of processes, of a user or of a control group.
            // <https://man7.org/linux/man-pages/man2/fork.2.html>
            Some(Errno::AGAIN) => Self::Processes,
            Some(Errno::NOMEM | Errno::NOBUFS) => Self::Memory,
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Room,
            Some(Errno::TXTBSY) => Self::Busy,
            Some(Errno::PERM | Errno::NOSYS) => Self::Forbidden,
            Some(Errno::NOENT | Errno::NOTDIR) => Self::Missing,
            Some(Errno::ACCESS | Errno::NOEXEC | Errno::LOOP | Errno::ROFS) => Self::NotExecutable,
            _ => Self::Other,
        }
    }
}

/// Other systems number their errors in another way; what the standard library makes of them must do.
#[cfg(not(unix))]
impl Reason {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::Processes,
            io::ErrorKind::OutOfMemory => Self::Memory,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Room,
            io::ErrorKind::ExecutableFileBusy => Self::Busy,
            io::ErrorKind::Unsupported => Self::Forbidden,
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::NotExecutable,
            _ => Self::Other,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn refused(errno: Errno) -> StartError {
        StartError::refused("a socket")(errno.into())
    }

    fn not_started(errno: Errno) -> StartError {
        StartError::Spawn {
            path: "/x".to_owned(),
            source: errno.into(),
        }
    }

    #[test]
    fn each_cause_has_its_own_advice() {
        let all = [
            (Errno::MFILE, "ulimit -n"),
            (Errno::NFILE, "fs.file-max"),
            (Errno::AGAIN, "pids.max"),
            (Errno::NOMEM, "memory"),
            (Errno::NOSPC, "max_user_watches"),
            (Errno::TXTBSY, "being written"),
            (Errno::PERM, "seccomp"),
            (Errno::NOSYS, "old kernel"),
            (Errno::IO, "no remedy"),
        ];
        for (errno, word) in all {
            for error in [refused(errno), not_started(errno)] {
                let text = error.to_string();
                assert!(text.contains(word), "{text}");
                let files = text.contains("limit on open files");
                assert_eq!(files, errno == Errno::MFILE, "{text}");
            }
        }
        for (errno, program, other) in [
            (Errno::NOENT, "loader is gone", "TMPDIR"),
            (Errno::ACCESS, "noexec", "the user may do this"),
        ] {
            let (started, asked) = (not_started(errno).to_string(), refused(errno).to_string());
            assert!(
                started.contains(program) && !started.contains(other),
                "{started}"
            );
            assert!(asked.contains(other) && !asked.contains(program), "{asked}");
        }
    }

    #[test]
    fn a_shortage_that_passes_is_waited_for_and_another_error_is_not() {
        let answer = |errors: Vec<Errno>| {
            let mut errors = errors.into_iter();
            let mut asked = 0;
            let answer = patiently(|| {
                asked += 1;
                errors.next().map_or(Ok(()), |error| Err(error.into()))
            });
            (answer.is_ok(), asked)
        };
        assert_eq!(answer(vec![]), (true, 1));
        assert_eq!(answer(vec![Errno::MFILE, Errno::NFILE]), (true, 3));
        assert_eq!(answer(vec![Errno::MFILE, Errno::PERM]), (false, 2));
    }

    #[test]
    fn what_may_pass_is_distinguished_from_what_stays() {
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::AGAIN,
            Errno::NOMEM,
            Errno::NOBUFS,
            Errno::NOSPC,
            Errno::TXTBSY,
        ] {
            assert!(refused(errno).is_shortage() && not_started(errno).is_shortage());
        }
        for errno in [
            Errno::NOENT,
            Errno::ACCESS,
            Errno::PERM,
            Errno::NOSYS,
            Errno::NOEXEC,
            Errno::IO,
        ] {
            assert!(!refused(errno).is_shortage() && !not_started(errno).is_shortage());
        }
        let no_number = io::Error::from(io::ErrorKind::WriteZero);
        assert!(!is_shortage(&no_number));
    }
}
