//! Where a task panicked: the hook notes it, the failure says it.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

use crate::outcome::{Cause, Failure, MESSAGE, displayed};

thread_local! {
    /// The place of this thread's last panic.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes the place of every panic, and lets the hook that was there before go on: it prints the message.
pub(super) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            note(info);
            before(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    // A thread that is being torn down has no such cell any more, and nobody asks for it.
    let _ = PLACE.try_with(|cell| *cell.borrow_mut() = place);
}

/// The failure of a task that panicked.
pub(super) fn failure(payload: &(dyn Any + Send)) -> Failure {
    let text = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    let place = PLACE.with(|cell| cell.borrow_mut().take());
    let mut message = displayed(text, MESSAGE);
    if let Some(place) = place {
        message = format!("{message}, at {place}");
    }
    Failure::new(Cause::Panicked, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_tells_its_message_and_its_place() {
        install_hook();
        let payload = panic::catch_unwind(|| panic!("no {}", "luck")).unwrap_err();
        let failure = failure(&*payload);
        assert_eq!(failure.cause, Cause::Panicked);
        assert!(
            failure.message.starts_with("no luck, at "),
            "{}",
            failure.message
        );
        assert!(
            failure.message.contains("panics.rs:"),
            "{}",
            failure.message
        );
    }
}
