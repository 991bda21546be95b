//! Whether a signal belongs to the program: ignored since its start, or caught by a handler that is not podpool's.
//!
//! The kernel reports which signals are ignored and caught, but not by which handler. Handlers of tokio and signal-hook
//! all share one entry of the kernel's, in `signal-hook-registry`, and podpool's does too. The registry lists no
//! handlers, but it numbers registrations in order. So the registrations of others since podpool's can be counted, and
//! so can the signals that were newly caught since then, each of which accounts for one. If registrations are left
//! over, one of them is for a signal that was caught before, and perhaps for this one. It may be for another one: a
//! second handler for a window's size, for example. So such an answer is a guess, and a signal that is sent again and
//! again does not depend on it.
//!
//! A handler that is installed later by `sigaction` itself, or by a crate that does not use the registry, replaces
//! podpool's: then this library receives no signal, and `Builder::signals(false)` states that from the start.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use signal_hook::SigId;
use signal_hook::low_level::{pipe, unregister};

use crate::lock::lock;

/// The signals of a process that are ignored and those that are caught, as bits; the first signal is the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Dispositions {
    ignored: u64,
    caught: u64,
}

impl Dispositions {
    /// Those of this process. If the system does not report them, none counts as ignored and none as caught.
    fn read() -> Self {
        // The format is described in proc_pid_status(5). <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>
        if cfg!(target_os = "linux") {
            let status = fs::read_to_string("/proc/self/status");
            status.map_or_else(|_| Self::default(), |status| Self::parse(&status))
        } else {
            Self::default()
        }
    }

    fn parse(status: &str) -> Self {
        let mask = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        };
        Self {
            ignored: mask("SigIgn:").unwrap_or(0),
            caught: mask("SigCgt:").unwrap_or(0),
        }
    }
}

fn bit(signal: i32) -> u64 {
    let place = u32::try_from(signal - 1).ok();
    place
        .and_then(|place| 1_u64.checked_shl(place))
        .unwrap_or(0)
}

/// Whether the program ignores the signal, as one that a script started with `&`, or `nohup`, does.
pub(super) fn is_ignored(signal: i32) -> bool {
    Dispositions::read().ignored & bit(signal) != 0
}

/// The registrations of this library.
static OURS: Mutex<Ours> = Mutex::new(Ours {
    registrations: 0,
    signals: 0,
});

#[derive(Clone, Copy, Debug)]
struct Ours {
    registrations: u128,
    signals: u64,
}

/// This library's registration for a signal, and the dispositions of the program before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registered {
    signal: i32,
    number: u128,
    ours: u128,
    before: Dispositions,
}

impl Registered {
    /// From now on each arrival of the signal writes a byte to this socket.
    pub(super) fn new(signal: i32, arrivals: UnixStream) -> io::Result<Self> {
        let mut ours = lock(&OURS);
        // Read under the lock and before the registration: afterwards the kernel shows podpool's own handler as the
        // program's.
        let before = Dispositions::read();
        let id = pipe::register(signal, arrivals)?;
        ours.registrations += 1;
        ours.signals |= bit(signal);
        Ok(Self {
            signal,
            number: number(&id),
            ours: ours.registrations,
            before,
        })
    }

    /// Whether the program has a handler of its own for this signal, as far as can be determined.
    pub(super) fn others(&self) -> Others {
        // Caught before podpool's registration: a handler of the program, which the registry calls in addition.
        if self.before.caught & bit(self.signal) != 0 {
            return Others::Catch;
        }
        let mut ours = lock(&OURS);
        // A registration without effect, made only for its number: the number is one more than that of the last one.
        let idle = Arc::new(AtomicBool::new(false));
        let Ok(id) = signal_hook::flag::register(self.signal, idle) else {
            return Others::None;
        };
        unregister(id);
        ours.registrations += 1;
        let all = number(&id).saturating_sub(self.number);
        // Registrations since ours, less those of this library.
        let others = all.saturating_sub(ours.registrations - self.ours);
        let caught = Dispositions::read().caught & !self.before.caught & !ours.signals;
        if others > u128::from(caught.count_ones()) {
            Others::Perhaps
        } else {
            Others::None
        }
    }
}

/// Whether handlers that are not podpool's are called for a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// There are none.
    None,
    /// Handlers were installed after podpool's, for this signal or for one that already had a handler.
    Perhaps,
    /// The signal was caught before podpool's handler was installed.
    Catch,
}

/// The number of a registration in the registry's order. The id shows it to a hasher only.
fn number(id: &SigId) -> u128 {
    let mut largest = Largest(0);
    id.hash(&mut largest);
    largest.0
}

/// Keeps the only 128-bit number that is hashed.
struct Largest(u128);

impl Hasher for Largest {
    fn write_u128(&mut self, number: u128) {
        self.0 = number;
    }

    fn write(&mut self, _bytes: &[u8]) {}

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use signal_hook::consts::{SIGUSR1, SIGUSR2};
    use signal_hook::flag;

    use super::*;

    #[test]
    fn the_kernels_masks_are_read() {
        let status = "Name:\tx\nSigBlk:\t0000000000000004\nSigIgn:\t0000000000001002\nSigCgt:\t0000000100000440\n";
        let read = Dispositions::parse(status);
        assert_eq!(read.ignored, bit(2) | bit(13));
        assert_eq!(read.caught, bit(7) | bit(11) | bit(33));
        assert_eq!(Dispositions::parse("nothing"), Dispositions::default());
        assert_eq!((bit(0), bit(65)), (0, 0));
    }

    // The registry is shared by the whole process, and another test may register too: one test for all of it, with
    // signals that no other test uses.
    #[test]
    fn other_handlers_are_distinguished_from_ours() {
        let idle = || Arc::new(AtomicBool::new(false));
        let (_read, write) = UnixStream::pair().unwrap();
        let ours = Registered::new(SIGUSR1, write).unwrap();
        assert_eq!(ours.others(), Others::None);
        // podpool's own for another signal does not count, nor do the registrations of earlier calls of `others`.
        let (_read, write) = UnixStream::pair().unwrap();
        let second = Registered::new(SIGUSR2, write).unwrap();
        assert_eq!(ours.others(), Others::None);
        assert_eq!(second.others(), Others::None);
        if cfg!(target_os = "linux") {
            // The program's handler for another signal, which was not caught before.
            flag::register(signal_hook::consts::SIGWINCH, idle()).unwrap();
            assert_eq!(ours.others(), Others::None);
        }
        flag::register(SIGUSR1, idle()).unwrap();
        assert_eq!(ours.others(), Others::Perhaps);
        let (_read, write) = UnixStream::pair().unwrap();
        let late = Registered::new(SIGUSR1, write).unwrap();
        let known = cfg!(target_os = "linux");
        assert_eq!(late.others() == Others::Catch, known);
    }
}
