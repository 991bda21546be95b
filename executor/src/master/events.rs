//! What happens in a run, for those who subscribed to it.
//!
//! The executor's thread never waits for a subscriber: each has a bounded queue, and what does not fit is counted.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use podpool_core::id::{Attempt, TaskId};
use podpool_core::panics::contained;
use podpool_core::place::WorkerPlace;

use crate::error::{AttemptReport, Subject, TaskError};
use crate::lock::lock;
use crate::master::cell::TaskState;

/// Most events that wait for one subscriber.
// About 600 KiB. A subscriber that is behind by a whole pull of results, 64 messages of up to 256 short tasks each,
// loses nothing.
pub(crate) const CAPACITY: usize = 16 * 1024;

/// Something that happened in a run, by [`PodPoolExecutor::events`](crate::PodPoolExecutor::events).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// When the executor recorded it, by this machine's clock.
    pub at: SystemTime,
    /// What happened.
    pub kind: EventKind,
}

/// What happened in a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// The executor took a task in.
    #[non_exhaustive]
    Submitted {
        /// The task.
        task: TaskInfo,
    },
    /// A worker has begun with a task; it may wait there for a free slot. Workers report batches of 10 ms of work or
    /// more, so that a short task may end without this event.
    #[non_exhaustive]
    Started {
        /// The task.
        task: TaskInfo,
        /// Which attempt, from 1.
        attempt: Attempt,
        /// The worker's name.
        worker: Arc<str>,
    },
    /// An attempt failed, and another one follows.
    #[non_exhaustive]
    Retried {
        /// The task.
        task: TaskInfo,
        /// The attempt that failed.
        attempt: AttemptReport,
        /// The time from now to the next attempt.
        after: Duration,
    },
    /// An execution was lost with its worker. The task comes to another worker when its lease ends.
    #[non_exhaustive]
    Lost {
        /// The task.
        task: TaskInfo,
        /// The execution that was lost.
        attempt: AttemptReport,
    },
    /// A task ended.
    #[non_exhaustive]
    Ended {
        /// The task.
        task: TaskInfo,
        /// `Done`, `Failed` or `Cancelled`.
        state: TaskState,
        /// The worker that gave the result; none without a result.
        worker: Option<Arc<str>>,
        /// When the execution began, by the master's clock; none without a result. See [`AttemptReport::started`].
        started: Option<SystemTime>,
        /// How long the attempt waited before, from its publish.
        queued: Option<Duration>,
        /// How long the execution took that gave the result; none without a result.
        elapsed: Option<Duration>,
        /// Whether the task was skipped: its `skip_if` gave the result, or its `output` was there.
        skipped: bool,
        /// Why there is no result.
        error: Option<TaskError>,
    },
    /// A worker greeted, or its messages come again after a silence. A new subscriber gets it for each worker that is
    /// there. On this machine there is one worker, `local`, whose slots are the child processes.
    #[non_exhaustive]
    WorkerCame {
        /// Its name: a pod's, or `local`.
        worker: Arc<str>,
        /// Its host.
        node: Arc<str>,
        /// Where it runs, as far as its fleet has reported that by now; none on one machine.
        place: Option<Arc<WorkerPlace>>,
        /// How many tasks it runs at once.
        slots: u32,
    },
    /// Where a worker runs became known, or better known, after it had come: what the cluster shows of its pod and
    /// node.
    #[non_exhaustive]
    WorkerPlaced {
        /// Its name.
        worker: Arc<str>,
        /// Where it runs.
        place: Arc<WorkerPlace>,
    },
    /// A worker has ended, or no message has come from it for a lease. Comes for every worker that is there when the
    /// executor ends. A slot that dies is none: see [`Retried`](Self::Retried) and [`Ended`](Self::Ended) of its task.
    #[non_exhaustive]
    WorkerWent {
        /// Its name.
        worker: Arc<str>,
        /// Its host, if it is known.
        node: Option<Arc<str>>,
        /// Why, for people.
        reason: Arc<str>,
    },
    /// The pool is broken: every task that has not ended gets this reason.
    #[non_exhaustive]
    Broken {
        /// Why.
        reason: Arc<str>,
    },
    /// The run reached a limit that the program had set: every task that has not ended gets this reason.
    #[non_exhaustive]
    RunLimit {
        /// Which limit, and what was measured.
        reason: Arc<str>,
    },
    /// Events were dropped here, because they were not read in time.
    #[non_exhaustive]
    Dropped {
        /// How many.
        events: u64,
    },
}

impl EventKind {
    pub(crate) const fn is_of_a_worker(&self) -> bool {
        matches!(
            self,
            Self::WorkerCame { .. } | Self::WorkerPlaced { .. } | Self::WorkerWent { .. }
        )
    }
}

/// A task, as events and statistics name it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number.
    pub id: TaskId,
    /// Its name: `crate::module::function`.
    pub name: &'static str,
    /// The key that the call was given.
    pub key: Option<Arc<str>>,
}

impl TaskInfo {
    pub(crate) const fn new(id: TaskId, name: &'static str, key: Option<Arc<str>>) -> Self {
        Self { id, name, key }
    }

    /// The task of a cell or an error.
    pub(crate) fn of(id: TaskId, subject: Subject) -> Self {
        Self::new(id, subject.task, subject.key)
    }
}

/// As errors name it: `task prices::clean #7 (key "BTC")`.
impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = Subject {
            task: self.name,
            id: Some(self.id),
            key: self.key.clone(),
        };
        fmt::Display::fmt(&subject, f)
    }
}

/// The subscribers of a run.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    subscribers: Mutex<Subscribers>,
    /// Whether there may be one.
    subscribed: AtomicBool,
}

#[derive(Debug, Default)]
struct Subscribers {
    channels: Vec<Weak<Channel>>,
    /// The workers that are there, as the events of their arrival.
    present: Vec<Event>,
    /// No event follows.
    ended: bool,
}

/// The queue of one subscriber.
#[derive(Debug, Default)]
pub(crate) struct Channel(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// Dropped since the last event in the queue.
    dropped: u64,
    ended: bool,
    waker: Option<Waker>,
}

impl Hub {
    /// Adds a subscriber. It gets the arrivals of the workers that are there, and what happens from now on.
    pub(crate) fn subscribe(&self) -> Arc<Channel> {
        let channel = Arc::new(Channel::default());
        let mut subscribers = lock(&self.subscribers);
        if subscribers.ended {
            lock(&channel.0).ended = true;
        } else {
            subscribers.channels.push(Arc::downgrade(&channel));
            // Under the lock: an arrival is either here or in a later `send`, and never in both.
            channel.push(subscribers.present.iter().cloned());
            // Under the lock, so that `send` does not clear it after. A submission that follows this call is drained
            // under the mailbox's lock, and the executor reads this flag after that.
            self.subscribed.store(true, Ordering::Relaxed);
        }
        channel
    }

    /// Whether events are of use.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.subscribed.load(Ordering::Relaxed)
    }

    /// Sends what happened to every subscriber, and empties the list.
    pub(crate) fn send(&self, kinds: &mut Vec<EventKind>) {
        if kinds.is_empty() {
            return;
        }
        let at = now();
        let events = || kinds.iter().cloned().map(|kind| Event { at, kind });
        let workers = events().filter(|event| event.kind.is_of_a_worker());
        for channel in self.channels(workers) {
            channel.push(events());
        }
        kinds.clear();
    }

    /// The subscribers that are left. Those that have gone are removed.
    fn channels(&self, workers: impl Iterator<Item = Event>) -> Vec<Arc<Channel>> {
        let mut subscribers = lock(&self.subscribers);
        workers.for_each(|event| subscribers.note(event));
        subscribers
            .channels
            .retain(|channel| channel.strong_count() > 0);
        self.subscribed
            .store(!subscribers.channels.is_empty(), Ordering::Relaxed);
        // Copied, so that no waker is called under the lock.
        let channels = subscribers.channels.iter();
        channels.filter_map(Weak::upgrade).collect()
    }

    /// No event follows.
    pub(crate) fn end(&self) {
        // One lock for both: a subscriber that comes in between would get neither.
        let (channels, present) = {
            let mut subscribers = lock(&self.subscribers);
            subscribers.ended = true;
            self.subscribed.store(false, Ordering::Relaxed);
            let present = std::mem::take(&mut subscribers.present);
            (std::mem::take(&mut subscribers.channels), present)
        };
        for channel in channels.iter().filter_map(Weak::upgrade) {
            channel.push(present.iter().filter_map(left_with_the_run));
            channel.end();
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.end();
    }
}

impl Subscribers {
    /// Keeps who is there.
    fn note(&mut self, event: Event) {
        match &event.kind {
            EventKind::WorkerCame { worker, .. } => {
                self.leave(worker);
                self.present.push(event);
            }
            EventKind::WorkerWent { worker, .. } => self.leave(worker),
            EventKind::WorkerPlaced { worker, place } => self.place(worker, place),
            _ => {}
        }
    }

    /// Later subscribers get it with the worker's arrival.
    fn place(&mut self, placed: &str, at: &Arc<WorkerPlace>) {
        for event in &mut self.present {
            if let EventKind::WorkerCame { worker, place, .. } = &mut event.kind
                && **worker == *placed
            {
                *place = Some(at.clone());
            }
        }
    }

    fn leave(&mut self, gone: &str) {
        let is = |event: &Event| matches!(&event.kind, EventKind::WorkerCame { worker, .. } if **worker == *gone);
        self.present.retain(|event| !is(event));
    }
}

/// The end of a worker that was there when the executor ended.
fn left_with_the_run(came: &Event) -> Option<Event> {
    let EventKind::WorkerCame { worker, node, .. } = &came.kind else {
        return None;
    };
    Some(Event {
        at: now(),
        kind: EventKind::WorkerWent {
            worker: worker.clone(),
            node: Some(node.clone()),
            reason: "the executor ended".into(),
        },
    })
}

impl Channel {
    fn push(&self, events: impl Iterator<Item = Event>) {
        let waker = {
            let mut waiting = lock(&self.0);
            for event in events {
                waiting.push(event);
            }
            waiting.waker.take()
        };
        wake(waker);
    }

    fn end(&self) {
        let waker = {
            let mut waiting = lock(&self.0);
            waiting.ended = true;
            waiting.waker.take()
        };
        wake(waker);
    }

    /// The next event; none when no event follows.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let mut waiting = lock(&self.0);
        if let Some(event) = waiting.pop() {
            return Poll::Ready(Some(event));
        }
        if waiting.ended {
            return Poll::Ready(None);
        }
        let replaced = waiting.waker.replace(cx.waker().clone());
        // A waker's drop may run code of a runtime.
        drop(waiting);
        drop(replaced);
        Poll::Pending
    }
}

impl Waiting {
    fn push(&mut self, event: Event) {
        // One place is kept for the mark of what was dropped.
        if self.events.len() + 1 >= CAPACITY {
            self.dropped += 1;
            return;
        }
        if let Some(gap) = self.gap() {
            self.events.push_back(gap);
        }
        self.events.push_back(event);
    }

    fn pop(&mut self) -> Option<Event> {
        self.events.pop_front().or_else(|| self.gap())
    }

    /// The mark of the events that were dropped since the last one in the queue.
    fn gap(&mut self) -> Option<Event> {
        let events = std::mem::take(&mut self.dropped);
        (events > 0).then(|| Event {
            at: now(),
            kind: EventKind::Dropped { events },
        })
    }
}

/// The time that an event carries.
#[expect(
    clippy::disallowed_methods,
    reason = "people read it, and nothing is decided by it"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Wakes a subscriber. A waker is the user's: its panic ends here.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        contained("a waker of events panicked", || waker.wake());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    fn broken(reason: &str) -> EventKind {
        EventKind::Broken {
            reason: reason.into(),
        }
    }

    /// The reason of the next event, or `dropped N`.
    fn next(channel: &Channel) -> Poll<Option<String>> {
        let event = channel.poll(&Context::from_waker(Waker::noop()));
        event.map(|event| {
            event.map(|event| match event.kind {
                EventKind::Broken { reason } => reason.to_string(),
                EventKind::Dropped { events } => format!("dropped {events}"),
                other => panic!("{other:?}"),
            })
        })
    }

    fn ready(reason: &str) -> Poll<Option<String>> {
        Poll::Ready(Some(reason.to_owned()))
    }

    #[test]
    fn each_subscriber_gets_what_happens_after_it_came() {
        let hub = Hub::default();
        assert!(!hub.has_subscribers());
        hub.send(&mut vec![broken("before")]);
        let first = hub.subscribe();
        assert!(hub.has_subscribers());
        hub.send(&mut vec![broken("a")]);
        let second = hub.subscribe();
        hub.send(&mut vec![broken("b")]);
        assert_eq!(next(&first), ready("a"));
        assert_eq!(next(&first), ready("b"));
        assert_eq!(next(&first), Poll::Pending);
        drop(first);
        hub.send(&mut vec![broken("c")]);
        assert!(hub.has_subscribers());
        hub.end();
        assert_eq!(next(&second), ready("b"));
        assert_eq!(next(&second), ready("c"));
        assert_eq!(next(&second), Poll::Ready(None));
        assert_eq!(next(&hub.subscribe()), Poll::Ready(None));
        assert!(!hub.has_subscribers());
    }

    /// The name of the worker that came, or `-NAME` of one that went.
    fn worker(channel: &Channel) -> Option<String> {
        match channel.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(event)) => match event.kind {
                EventKind::WorkerCame { worker, .. } => Some(worker.to_string()),
                EventKind::WorkerWent { worker, .. } => Some(format!("-{worker}")),
                other => panic!("{other:?}"),
            },
            Poll::Ready(None) | Poll::Pending => None,
        }
    }

    #[test]
    fn a_subscriber_gets_the_workers_that_are_there_and_their_ends() {
        let hub = Hub::default();
        let came = |worker: &str| EventKind::WorkerCame {
            worker: worker.into(),
            node: "node".into(),
            place: None,
            slots: 2,
        };
        let went = |worker: &str| EventKind::WorkerWent {
            worker: worker.into(),
            node: None,
            reason: "spot".into(),
        };
        hub.send(&mut vec![came("a"), came("b"), broken("before")]);
        hub.send(&mut vec![went("a"), came("b")]);
        let channel = hub.subscribe();
        hub.send(&mut vec![came("c")]);
        let next = || worker(&channel);
        assert_eq!(
            (next(), next(), next()),
            (Some("b".into()), Some("c".into()), None)
        );
        hub.end();
        assert_eq!(
            (next(), next(), next()),
            (Some("-b".into()), Some("-c".into()), None)
        );
    }

    #[test]
    fn a_later_subscriber_gets_a_worker_with_its_place() {
        let hub = Hub::default();
        let place = Arc::new(WorkerPlace {
            zone: Some("z1".into()),
            ..WorkerPlace::default()
        });
        let came = |worker: &str| EventKind::WorkerCame {
            worker: worker.into(),
            node: "node".into(),
            place: None,
            slots: 2,
        };
        let placed = EventKind::WorkerPlaced {
            worker: "b".into(),
            place: place.clone(),
        };
        hub.send(&mut vec![came("a"), came("b"), placed]);
        let channel = hub.subscribe();
        let next = || match channel.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(event)) => match event.kind {
                EventKind::WorkerCame { worker, place, .. } => Some((worker.to_string(), place)),
                other => panic!("{other:?}"),
            },
            Poll::Ready(None) | Poll::Pending => None,
        };
        assert_eq!(next(), Some(("a".to_owned(), None)));
        assert_eq!(next(), Some(("b".to_owned(), Some(place))));
        assert_eq!(next(), None);
    }

    #[test]
    fn a_hub_whose_subscribers_have_gone_has_none() {
        let hub = Hub::default();
        drop(hub.subscribe());
        hub.send(&mut vec![broken("a")]);
        assert!(!hub.has_subscribers());
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_is_missing() {
        let hub = Hub::default();
        let channel = hub.subscribe();
        let send = |count: usize| {
            for _ in 0..count {
                hub.send(&mut vec![broken("x")]);
            }
        };
        send(CAPACITY + 10);
        let mut read = 0;
        let dropped = loop {
            match next(&channel) {
                Poll::Ready(Some(reason)) if reason == "x" => read += 1,
                other => break other,
            }
        };
        assert_eq!(read + 1, CAPACITY);
        assert_eq!(dropped, ready("dropped 11"));
        assert_eq!(next(&channel), Poll::Pending);
        // A gap in the middle is marked before what follows it.
        send(CAPACITY);
        assert!(next(&channel).is_ready() && next(&channel).is_ready());
        send(1);
        let mut all = Vec::new();
        while let Poll::Ready(Some(reason)) = next(&channel) {
            all.push(reason);
        }
        let at = all.len() - 2;
        assert_eq!(all[at], "dropped 1");
        assert!(lock(&channel.0).events.is_empty());
    }

    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_subscriber_that_waits_is_woken_once_for_a_turn_and_by_the_end() {
        let hub = Hub::default();
        let channel = hub.subscribe();
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(woken.clone());
        let cx = Context::from_waker(&waker);
        assert!(channel.poll(&cx).is_pending());
        hub.send(&mut vec![broken("a"), broken("b")]);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        while channel.poll(&cx).is_ready() {}
        drop(hub);
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert_eq!(next(&channel), Poll::Ready(None));
    }
}
