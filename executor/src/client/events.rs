//! The events of a run, as a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::master::events::{Channel, Event};

/// The events of a run since it was subscribed to, in order: a [`Stream`], and [`next`](Self::next) without one.
///
/// At most 16,384 events wait. When that many are not read, later ones are dropped, and
/// [`Dropped`](crate::events::EventKind::Dropped) stands in their place with their number. The stream ends when the
/// executor has ended. Dropping it ends the subscription.
#[must_use = "events are recorded while it is kept, and it gives them when it is polled"]
pub struct Events(Arc<Channel>);

impl Events {
    pub(crate) const fn new(channel: Arc<Channel>) -> Self {
        Self(channel)
    }

    /// The next event; none when the executor has ended and all were read. Dropping this future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.0.poll(cx)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
