//! The executor of the program: a thin, clonable handle to its thread.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use podpool_core::id::{RunId, RunName};
use podpool_core::task::{Call, TaskSpec};
use tokio::sync::oneshot;

use crate::client::events::Events;
use crate::client::future::TaskFuture;
use crate::client::map::{Inputs, KeyedMap, Map, Submit};
use crate::error::ShutdownError;
use crate::master::command::{Command, ShutdownBehavior};
use crate::master::handle::Handle;
use crate::master::mailbox::{Closed, Mailbox};
use crate::master::measured::Pace;
use crate::master::stats::Stats;

/// Runs tasks on workers: `ThreadPoolExecutor`, with pods or child processes for threads.
///
/// A clone is another handle to the same executor. When the last handle is dropped without
/// [`shutdown`](Self::shutdown), the executor stops at once without blocking: child processes are killed, and
/// futures that are not done resolve to `ShutDown`.
#[derive(Clone)]
pub struct PodPoolExecutor {
    handle: Arc<Handle>,
}

impl PodPoolExecutor {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle: Arc::new(handle),
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Submits a call; the future resolves to its result. Never blocks, and needs no runtime.
    ///
    /// ```no_run
    /// # use podpool::prelude::*;
    /// # #[podpool::task] fn clean(asset: String) -> usize { asset.len() }
    /// # async fn one(pool: PodPoolExecutor) -> Result<(), TaskError> {
    /// let future = pool.submit(clean("BTC".into()).key("BTC").retries(2));
    /// println!("{}", future.await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// After a shutdown the future resolves to [`ShutDown`](crate::TaskErrorKind::ShutDown), after the end of the run by a
    /// limit to [`RunLimit`](crate::TaskErrorKind::RunLimit), and to [`Rejected`](crate::TaskErrorKind::Rejected) when the
    /// arguments cannot be encoded or are too large.
    pub fn submit<T>(&self, call: Call<T>) -> TaskFuture<T> {
        TaskFuture::submit(&self.handle.mailbox, call)
    }

    /// Calls `call` for each input and yields the results in the order of the inputs.
    ///
    /// ```no_run
    /// # use podpool::prelude::*;
    /// # #[podpool::task] fn clean(asset: String) -> usize { asset.len() }
    /// # async fn all(pool: PodPoolExecutor, assets: Vec<String>) -> Result<(), TaskError> {
    /// let mut sizes = pool.map(assets, clean);
    /// while let Some(size) = sizes.next().await {
    ///     println!("{}", size?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Inputs are taken only while the map is polled, and no more than its window allows, so they may be endless. An
    /// error is yielded at its position and cancels the rest; so does dropping the map.
    ///
    /// Options, as methods of [`Map`]: [`unordered`](Map::unordered), [`window`](Map::window),
    /// [`timeout`](Map::timeout), [`return_exceptions`](Map::return_exceptions), [`max_failures`](Map::max_failures),
    /// [`max_failures_percent`](Map::max_failures_percent), [`keyed`](Map::keyed).
    pub fn map<I, T, F>(&self, inputs: I, call: F) -> Map<Inputs<I::IntoIter>, F, T>
    where
        I: IntoIterator,
        F: FnMut(I::Item) -> Call<T>,
    {
        Map::new(
            Box::new(self.clone()),
            Inputs::new(inputs.into_iter()),
            call,
        )
    }

    /// Like [`map`](Self::map), for pairs of a key and an input: each call is given its
    /// [key](podpool_core::task::Call::key), and each result comes with it, as an `Arc<str>`. A failure is a
    /// [`TaskError`](crate::TaskError) alone: its key is [`TaskError::key`](crate::TaskError::key).
    ///
    /// ```no_run
    /// # use podpool::prelude::*;
    /// # #[podpool::task] fn clean(rows: Vec<f64>) -> f64 { rows.iter().sum() }
    /// # async fn totals(pool: PodPoolExecutor) {
    /// let inputs = [("BTC", vec![1.0, 2.0]), ("ETH", vec![3.0])];
    /// let mut totals = pool.map_keyed(inputs, clean).return_exceptions();
    /// while let Some(total) = totals.next().await {
    ///     match total {
    ///         Ok((asset, total)) => println!("{asset}: {total}"),
    ///         Err(error) => eprintln!("{:?}: {error}", error.key()),
    ///     }
    /// }
    /// # }
    /// ```
    // `use<…>`: what the map keeps of its arguments is in its type, and it borrows nothing of the pool.
    #[expect(
        clippy::type_complexity,
        reason = "a closure has no name, and the type of a map contains it"
    )]
    pub fn map_keyed<I, K, V, T, F>(
        &self,
        pairs: I,
        mut call: F,
    ) -> KeyedMap<Inputs<I::IntoIter>, impl FnMut((K, V)) -> Call<T> + use<I, K, V, T, F>, T>
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<Arc<str>>,
        F: FnMut(V) -> Call<T>,
    {
        self.map(pairs, move |(key, input)| call(input).key(key))
            .keyed()
    }

    /// Like [`map`](Self::map), for inputs that come as a stream.
    ///
    /// ```no_run
    /// # use futures_util::stream;
    /// # use podpool::prelude::*;
    /// # #[podpool::task] fn clean(asset: String) -> usize { asset.len() }
    /// # async fn all(pool: PodPoolExecutor) -> Result<(), TaskError> {
    /// let assets = stream::iter(["BTC", "ETH"]); // any `Stream`
    /// let mut sizes = pool.map_stream(assets, |asset| clean(asset.into()));
    /// while let Some(size) = sizes.next().await {
    ///     println!("{}", size?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn map_stream<S, T, F>(&self, inputs: S, call: F) -> Map<S, F, T>
    where
        S: Stream,
        F: FnMut(S::Item) -> Call<T>,
    {
        Map::new(Box::new(self.clone()), inputs, call)
    }

    /// Waits for every task, then ends workers and executor. Later submissions resolve to `ShutDown`. May be called any
    /// number of times, by any handle; each call returns when the executor has ended and the callbacks of its futures
    /// have run. A callback that has run for more than a minute is not waited for any longer.
    ///
    /// In a callback of [`on_done`](TaskFuture::on_done) it may be waited for too: it returns when the executor has
    /// ended, and the callbacks that are left run afterwards.
    ///
    /// # Errors
    /// [`ShutdownError`] when the pool broke, the run reached a limit, or something is left behind.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        self.shutdown_with(ShutdownBehavior::WaitForTasks).await
    }

    /// Ends the executor by this `behavior`. A second call may only choose a stricter one. Tasks that `CancelPending`
    /// ends resolve to `Cancelled`. Tasks that `Abort` ends resolve to `ShutDown`, and count as failed in
    /// [`Stats`](crate::stats::Stats).
    ///
    /// ```no_run
    /// # use podpool::prelude::*;
    /// # async fn stop(pool: PodPoolExecutor) -> Result<(), podpool::error::ShutdownError> {
    /// pool.shutdown_with(ShutdownBehavior::CancelPending).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ShutdownError`] when the pool broke, the run reached a limit, or something is left behind.
    pub async fn shutdown_with(&self, behavior: ShutdownBehavior) -> Result<(), ShutdownError> {
        // Closed before the command is sent: a task submitted after this call must not be run, and one submitted before
        // it is in the mailbox ahead of the command.
        self.handle.mailbox.close(Closed::ShutDown);
        let (done, ended) = oneshot::channel();
        self.handle
            .mailbox
            .command(Command::Shutdown { behavior, done });
        // An executor that has ended drops the command, so there is nothing left to wait for.
        let outcome = match ended.await {
            Ok(outcome) => outcome,
            Err(_) => self.handle.mailbox.how_it_ended(),
        };
        // Callbacks before output, because callbacks print. Both after the executor: it settles the last futures, and
        // hands over the last lines, before it ends.
        self.handle.mailbox.callbacks().idle().await;
        self.handle.written.wait().await;
        match self.handle.mailbox.signal() {
            // Only in place of a success: a run that failed by itself reports that.
            Some(signal) => outcome.and(Err(ShutdownError::Interrupted { signal })),
            None => outcome,
        }
    }

    /// How many tasks have ended, run and wait, how fast they end, and what the workers do. A snapshot: it takes two
    /// short locks and waits for nothing. While nobody asks, the run pays one short lock for each message of results.
    ///
    /// ```no_run
    /// # use podpool::prelude::*;
    /// # async fn watch(pool: PodPoolExecutor) {
    /// let stats = pool.stats();
    /// println!("{stats}");
    /// if let Some(oldest) = &stats.oldest
    ///     && let Some(waits) = &oldest.waits
    /// {
    ///     println!("{} {waits}", oldest.task);
    /// }
    /// # }
    /// ```
    ///
    /// A line of progress once a second, beside a map:
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use podpool::prelude::*;
    /// # #[podpool::task] fn clean(day: u64) -> usize { day as usize }
    /// # async fn all(pool: PodPoolExecutor) -> Result<(), TaskError> {
    /// let mut second = tokio::time::interval(Duration::from_secs(1));
    /// let mut sizes = pool.map(0..365, clean);
    /// loop {
    ///     tokio::select! {
    ///         size = sizes.next() => match size {
    ///             Some(size) => println!("{}", size?),
    ///             None => break,
    ///         },
    ///         _ = second.tick() => eprintln!("{}", pool.stats()),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// `select!` drops the future of `next` each second; nothing is lost by that. "120 of 365" counts the tasks that
    /// were submitted so far. A map submits as many as its window allows, so the second number grows during the map:
    /// for a share of the whole, count the results and compare them with the number of your inputs.
    ///
    /// On this machine there is one worker, whose slots are the child processes. After the end of the executor it gives
    /// the last counts.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.observed.stats(&self.handle.mailbox)
    }

    /// The workers that are there, then what happens from now on, one event after the other: tasks that are taken in,
    /// begin, fail and are tried again,
    /// and end; workers that come and go; the end of a pool that breaks. Any number of subscribers may read.
    ///
    /// ```no_run
    /// # use podpool::prelude::*;
    /// # async fn watch(pool: PodPoolExecutor) {
    /// use podpool::events::EventKind;
    ///
    /// let mut events = pool.events();
    /// while let Some(event) = events.next().await {
    ///     match event.kind {
    ///         EventKind::Ended { task, error: Some(error), .. } => println!("{}: {error}", task.id),
    ///         EventKind::WorkerWent { worker, reason, .. } => println!("{worker} is gone: {reason}"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// On this machine there is one worker, called `local`. Its slots are the child processes; one that dies is no
    /// `WorkerWent`: its task has a `Retried` or an `Ended`, with the process in the attempt's report.
    ///
    /// The executor waits for no subscriber: see [`Events`] for what becomes of events that are not read. Without a
    /// subscriber no event of a task is made. The stream does not keep the executor running.
    pub fn events(&self) -> Events {
        Events::new(self.handle.observed.hub.subscribe())
    }

    /// The name that [`Builder::run`](crate::Builder::run) gave. Other runs may have the same.
    #[must_use]
    pub fn run(&self) -> Option<&str> {
        self.handle.name.as_ref().map(RunName::as_str)
    }

    /// The run that this executor's tasks belong to. No other run has this id, whatever its name.
    #[must_use]
    pub fn run_id(&self) -> &RunId {
        &self.handle.run
    }

    /// How many tasks can run at once: the slots of all workers.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.handle.slots
    }
}

impl Submit for PodPoolExecutor {
    fn mailbox(&self) -> &Arc<Mailbox> {
        &self.handle.mailbox
    }

    fn slots(&self) -> usize {
        self.handle.slots
    }

    fn typical(&self, task: &'static TaskSpec) -> Option<Duration> {
        self.handle.observed.measured.get(*task.index.get()?)
    }

    fn pace(&self) -> Pace {
        self.handle.observed.measured.pace()
    }
}

impl fmt::Debug for PodPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodPoolExecutor")
            .field("run", &self.handle.run)
            .field("slots", &self.handle.slots)
            .finish_non_exhaustive()
    }
}
