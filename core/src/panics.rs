//! Panics of parts that others wait for: caught, and told as a reason.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::thrown;

/// What a panic said. Its payload is dropped here, whatever that drop does.
#[must_use]
pub fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = thrown::message(&*payload).to_owned();
    thrown::discard(payload);
    text
}

/// Runs a future to its end, or to its panic, which is told as a reason: `WHAT panicked: …`.
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
