//! The tracing dispatcher of a thread, for the threads that it starts.
//!
//! The executor's thread has a dispatcher of its own, which never blocks. A thread that works for it must have the same
//! one: a subscriber that waits would otherwise hold up the renewal of leases, or calls to the queue.

use std::cell::Cell;

use tracing::Dispatch;
use tracing::dispatcher::{DefaultGuard, get_default, set_default, with_default};
use tracing::subscriber::NoSubscriber;

thread_local! {
    /// What goes with the thread. As long as one is there in the process, each event costs a look at its thread.
    static KEPT: Cell<Option<DefaultGuard>> = const { Cell::new(None) };
}

/// What the current thread's events go to.
#[derive(Clone, Debug)]
pub struct Inherited(Option<Dispatch>);

impl Inherited {
    /// Takes it from the current thread. Where there is none yet, a subscriber that is set for the whole program later
    /// is used.
    #[must_use]
    pub fn from_here() -> Self {
        Self(get_default(|here| {
            // `NoSubscriber` would hide a subscriber that the program sets for all threads later.
            (!here.is::<NoSubscriber>()).then(|| here.clone())
        }))
    }

    /// Runs the life of another thread with it.
    pub fn within<T>(&self, life: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(dispatch) => with_default(dispatch, life),
            None => life(),
        }
    }

    /// Sets it for the rest of the current thread's life: for those that a runtime starts.
    pub fn keep(&self) {
        if let Some(dispatch) = &self.0 {
            // A guard puts back what was there before it: the older one goes first.
            KEPT.set(None);
            KEPT.set(Some(set_default(dispatch)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    struct Mine;

    impl Subscriber for Mine {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            false
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &Event<'_>) {}

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn another_thread_has_it_until_it_ends() {
        let dispatch = Dispatch::new(Mine);
        let weak = dispatch.downgrade();
        let inherited = with_default(&dispatch, Inherited::from_here);
        drop(dispatch);
        let life = thread::spawn(move || {
            inherited.keep();
            inherited.keep();
            drop(inherited);
            get_default(|here| here.is::<Mine>())
        });
        assert!(life.join().unwrap());
        assert!(weak.upgrade().is_none(), "it went with the thread");
    }
}
