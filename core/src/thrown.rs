//! The payload of a caught panic: a value of any type, whose own drop may panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops that are tried: each may panic, and throw the next value.
const TRIES: usize = 8;

/// The text that stands for a panic without one.
pub(crate) const NO_MESSAGE: &str = "a panic without a message";

/// The message of a panic.
#[must_use]
pub fn message(payload: &(dyn Any + Send)) -> &str {
    text(payload).unwrap_or(NO_MESSAGE)
}

/// The text that a panic carries, if it carries one.
pub(crate) fn text(payload: &(dyn Any + Send)) -> Option<&str> {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Drops what a panic threw, or anything else of the user's. A panic of that drop ends here; what it throws in turn is
/// dropped too, and leaked after some rounds.
pub fn discard<T>(value: T) {
    let Err(mut thrown) = catch_unwind(AssertUnwindSafe(|| drop(value))) else {
        return;
    };
    for _ in 1..TRIES {
        match catch_unwind(AssertUnwindSafe(|| drop(thrown))) {
            Ok(()) => return,
            Err(next) => thrown = next,
        }
    }
    // Leaked and not dropped: its drop would panic again, outside of any catch.
    std::mem::forget(thrown);
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Panics when it is dropped, and throws one like itself.
    struct Bomb(usize, Arc<AtomicUsize>);

    impl Drop for Bomb {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
            if self.0 > 0 {
                panic_any(Self(self.0 - 1, self.1.clone()));
            }
        }
    }

    #[test]
    fn a_value_that_panics_when_dropped_is_dropped_to_the_end() {
        let drops = Arc::new(AtomicUsize::new(0));
        discard(Bomb(3, drops.clone()));
        assert_eq!(drops.load(Ordering::Relaxed), 4);
        discard(Bomb(1000, drops.clone()));
        assert_eq!(
            drops.load(Ordering::Relaxed),
            4 + TRIES,
            "the rest is leaked"
        );
    }

    #[test]
    fn a_message_is_read_from_either_kind_of_text() {
        assert_eq!(message(&"one"), "one");
        assert_eq!(message(&"two".to_owned()), "two");
        assert_eq!(message(&3), "a panic without a message");
    }
}
