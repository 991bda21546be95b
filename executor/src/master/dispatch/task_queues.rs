//! The tasks' queues: a publisher for each class.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use podpool_core::broker::ClassId;
use podpool_core::queue::Queue;
use podpool_core::queue::publisher::Publisher;
use tokio::time::Instant;

/// A run's queues, as its master uses them.
#[derive(Clone, Debug)]
pub(crate) struct MasterQueues {
    /// Batches are put here, by the class of their tasks.
    pub(crate) tasks: BTreeMap<ClassId, Arc<dyn Queue>>,
    /// What all workers send is taken from here.
    pub(crate) results: Arc<dyn Queue>,
    /// The run's state is put here.
    pub(crate) control: Arc<dyn Queue>,
}

/// Batches on their way to the queues of their classes. A receipt is a batch's number.
#[derive(Debug)]
pub(super) struct TaskQueues(BTreeMap<ClassId, Publisher<u32>>);

impl TaskQueues {
    pub(super) fn new(queues: &BTreeMap<ClassId, Arc<dyn Queue>>) -> Self {
        let publisher = |(class, queue): (&ClassId, &Arc<dyn Queue>)| {
            (*class, Publisher::new(Arc::clone(queue)))
        };
        Self(queues.iter().map(publisher).collect())
    }

    /// Adds a batch to those that are sent to the queue of a class.
    pub(super) fn push(&mut self, class: ClassId, message: Bytes, batch: u32) {
        // The state publishes for the classes that it was given, and each has its queue.
        if let Some(publisher) = self.0.get_mut(&class) {
            publisher.push(message, Some(batch));
        }
    }

    /// Sends what waits and returns the numbers of batches that are stored. Never resolves when there is nothing to send.
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Vec<u32> {
        // `Publisher::next` keeps its call in the publisher, so a future of it may be made anew for each poll. All are polled
        // each time: a queue that does not answer must not hold up the others.
        poll_fn(|context| {
            for publisher in self.0.values_mut() {
                let next = pin!(publisher.next());
                if let Poll::Ready(stored) = next.poll(context) {
                    return Poll::Ready(stored);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Why one of the queues is given up, if it has refused a message for `timeout`.
    pub(super) fn given_up(&self, now: Instant, timeout: Duration) -> Option<String> {
        self.iter()
            .find_map(|(class, publisher)| publisher.given_up(now, timeout, &name(class)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ClassId, &Publisher<u32>)> {
        self.0.iter().map(|(class, publisher)| (*class, publisher))
    }
}

/// A queue of tasks, as notices and errors name it.
pub(super) fn name(class: ClassId) -> String {
    match class {
        ClassId::DEFAULT => "the tasks' queue".to_owned(),
        ClassId(number) => format!("the queue of the tasks of class {number}"),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use podpool_core::queue::memory::MemoryQueue;

    use super::super::fake::Mute;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_class_has_its_queue_and_one_that_does_not_answer_holds_up_no_other() {
        let large = Arc::new(MemoryQueue::local("large"));
        let queues: BTreeMap<ClassId, Arc<dyn Queue>> = BTreeMap::from([
            (ClassId::DEFAULT, Arc::new(Mute) as Arc<dyn Queue>),
            (ClassId(1), large.clone()),
        ]);
        let mut tasks = TaskQueues::new(&queues);
        assert!(tasks.next().now_or_never().is_none(), "nothing is sent");
        tasks.push(ClassId::DEFAULT, Bytes::from_static(b"small"), 7);
        tasks.push(ClassId(1), Bytes::from_static(b"large"), 8);
        assert_eq!(tasks.next().await, [8]);
        assert!(tasks.next().now_or_never().is_none(), "batch 7 waits");
        let taken = large.take(9, Duration::ZERO).await.unwrap();
        let bodies: Vec<_> = taken.iter().map(|delivery| &delivery.body[..]).collect();
        assert_eq!(bodies, [b"large"]);
    }
}
