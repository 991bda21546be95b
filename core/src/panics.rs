//! Panics of parts that others wait for: caught, and returned as a reason.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;

use crate::thrown;

/// The text of a panic. Its payload is dropped here, whatever that drop does.
#[must_use]
pub fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = thrown::message(&*payload).to_owned();
    thrown::discard(payload);
    text
}

/// Runs code of the program whose panic is no task's result. A panic is logged: as `message`, with its text. A logger
/// that panics too is not called again.
pub fn contained(message: &str, life: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(life)) {
        let reason = panic_text(payload);
        let logged = catch_unwind(|| tracing::error!(reason, "{message}"));
        // The result of the logger holds its panic, whose drop may panic once more.
        thrown::discard(logged);
    }
}

/// Runs a future to its end, or to its panic, which is returned as a reason: `WHAT panicked: …`.
///
/// # Errors
/// The reason, when it panicked.
pub async fn caught<F: Future>(what: &str, future: F) -> Result<F::Output, String> {
    let ended = AssertUnwindSafe(future).catch_unwind().await;
    ended.map_err(|payload| format!("{what} panicked: {}", panic_text(payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics while it is dropped.
    struct Malicious;

    impl Drop for Malicious {
        fn drop(&mut self) {
            std::panic::panic_any(Self);
        }
    }

    /// Panics at every event.
    struct Broken;

    impl tracing::Subscriber for Broken {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            if event.metadata().target().starts_with("podpool_core") {
                std::panic::panic_any(Malicious);
            }
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn neither_the_panic_nor_one_of_its_logger_gets_out() {
        tracing::subscriber::with_default(Broken, || {
            contained("it panicked", || std::panic::panic_any(Malicious));
        });
    }

    #[tokio::test]
    async fn a_panic_is_a_reason_whatever_its_payload_does() {
        let said = caught("the part", async { panic!("no {}", "luck") }).await;
        let said: Result<(), String> = said;
        assert_eq!(said.unwrap_err(), "the part panicked: no luck");
        let said = caught("it", async { std::panic::panic_any(Malicious) }).await;
        let said: Result<(), String> = said;
        assert_eq!(said.unwrap_err(), "it panicked: a panic without a message");
        assert_eq!(caught("it", async { 5 }).await, Ok(5));
    }
}
