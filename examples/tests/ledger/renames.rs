//! Counts the files that get their names in a directory: each execution that wrote its day renames one file.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;

/// Longest time of one start of the program.
const LIMIT: Duration = Duration::from_secs(120);
/// How often it is looked at whether the program has ended: that is no event of the directory.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// A directory whose renames are counted from its beginning on.
#[derive(Debug)]
pub(crate) struct Renames {
    events: OwnedFd,
    count: usize,
}

impl Renames {
    /// Counts in this directory, which exists.
    pub(crate) fn of(directory: &Path) -> Self {
        let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        add_watch(&events, directory, WatchFlags::MOVED_TO).unwrap();
        Self { events, count: 0 }
    }

    /// How many days have been written.
    // The kernel keeps 16,384 events, and says so where there were more: a year and its repetitions are less than 2,000.
    pub(crate) fn count(&mut self) -> usize {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.events, &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW));
                    let name = event.file_name().map(|name| name.to_string_lossy());
                    self.count += usize::from(name.is_some_and(|name| name.ends_with(".csv")));
                }
                Err(Errno::AGAIN) => return self.count,
                Err(error) => panic!("the renames cannot be read: {error}"),
            }
        }
    }

    /// Waits until so many days have been written; false where the program has ended before.
    pub(crate) fn until(&mut self, count: usize, child: &mut Child) -> bool {
        let began = Instant::now();
        while self.count() < count {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(began.elapsed() < LIMIT, "{} days in {LIMIT:?}", self.count);
            let mut event = [PollFd::new(&self.events, PollFlags::IN)];
            poll(&mut event, Some(&LOOK)).unwrap();
        }
        true
    }
}
