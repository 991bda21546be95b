//! The inputs of a map that come from an iterator.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

/// An iterator as the inputs of a [`Map`](crate::future::Map): each is ready when it is asked for.
// A type of podpool's own, and not futures-util's: a release of that crate would change podpool's signatures.
#[derive(Clone, Debug)]
pub struct Inputs<I>(I);

impl<I> Inputs<I> {
    pub(crate) const fn new(inputs: I) -> Self {
        Self(inputs)
    }
}

// The iterator is called by `&mut`, and never pinned.
impl<I> Unpin for Inputs<I> {}

impl<I: Iterator> Stream for Inputs<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
