//! The thread that reads and writes the ledger of a run.
//!
//! The calls of a [`Ledger`] block, so they are made here and nowhere else. Records come in the order in which they were
//! decided, and are stored in that order: what waits is stored in one transaction.

mod asked;
#[cfg(test)]
pub(crate) mod by_hand;
mod numbers;
mod read;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use podpool_core::id::{RunId, RunName, TaskId};
use podpool_core::instant::after;
use podpool_core::ledger::{
    CommandId, Ledger, LedgerError, Opening, Record, RunLedger, Unfinished,
};
use podpool_core::panics::panic_text;
use podpool_core::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::debug;

pub(crate) use self::asked::Asked;
pub(crate) use self::numbers::Numbers;
use self::read::{Facts, read};
use crate::error::start::chain;
use crate::master::again::known;
use crate::master::dispatch::Memory;

/// Records in one transaction, more or less.
// A transaction of 4,096 small records takes some 20 ms, most of them for the records: the cost of its commit hardly counts
// any more. At double, results wait twice as long for the ones behind them.
const RECORDS: usize = 4096;
/// Stored results that are read at a time.
const FETCHES: usize = 256;
/// Stack of the thread: it traces the shapes of task types, as the registry's thread does.
const STACK: usize = 64 << 20;
/// Most runs that may be unfinished and are looked at when another run begins.
// A look opens a file and counts rows: a millisecond, or some for a large run. People are shown three.
const LOOKED_AT: usize = 16;
/// How often commands of other processes are looked for.
// A user waits so long at most. A look reads one small table, and where nothing was written only memory.
const LOOK: Duration = Duration::from_secs(1);
/// The first pause after a refusal that may pass, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What the thread is asked for.
#[derive(Debug)]
enum Request {
    /// Store these; they are worth so many bytes.
    Append(Vec<Record>, usize),
    /// Read the results of tasks, for calls.
    Fetch(Vec<(TaskId, TaskId)>),
    /// Answer a command.
    Answer(CommandId, String),
    /// The master leaves; it gives the numbers from this one on back.
    Release(Option<TaskId>),
}

/// What the thread answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// So many more records, of so many bytes, are stored.
    Stored(u64, usize),
    /// Stored results: call, task, and the output or why it cannot be read.
    Fetched(Vec<Fetched>),
    /// Nothing can be stored at present. It is tried again.
    Refused(String),
    /// The ledger refuses no longer.
    Served,
    /// The ledger cannot be used any more. Nothing that was not answered as stored is.
    Failed(LedgerError),
    /// Another process asks something of the run.
    Asked(CommandId, Asked),
    /// The run is released.
    Released,
}

/// A stored result: call, task, and the output or why it cannot be read.
pub(crate) type Fetched = (TaskId, TaskId, Result<Bytes, String>);

/// The way to the thread. When it is dropped, the thread releases the run and ends.
#[derive(Debug)]
pub(crate) struct LedgerLink {
    requests: Sender<Request>,
    /// The numbers of tasks that are this master's.
    pub(crate) numbers: Numbers,
    answers: mpsc::UnboundedReceiver<Answer>,
    /// The thread notices when this is dropped, also between two tries.
    _here: Sender<()>,
}

/// How a run is opened.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) opening: Opening,
    /// The name or id of the run, where it must exist; else the opening names it.
    pub(crate) attached: Option<String>,
    /// For how long the ledger may refuse.
    pub(crate) patience: Duration,
    /// Whether tasks of earlier masters are taken in: their messages outlive those.
    pub(crate) adopts: bool,
}

/// A run that was opened, with all that it remembers.
#[derive(Debug)]
pub(crate) struct OpenedRun {
    pub(crate) run: RunId,
    pub(crate) name: RunName,
    /// When the run was made, by the clock of its first master.
    pub(crate) created: SystemTime,
    pub(crate) mac_key: [u8; 32],
    pub(crate) epoch: u64,
    pub(crate) memory: Memory,
    pub(crate) link: LedgerLink,
    /// The ledger itself, for readers.
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Where the run is fresh: other runs that nobody goes on with.
    pub(crate) unfinished: Option<Unfinished>,
    /// Closed when the thread has ended and holds the run no longer.
    pub(crate) ended: Option<oneshot::Receiver<()>>,
}

/// Starts the thread, which opens the run.
///
/// # Errors
/// Why the run cannot be opened, or the thread cannot start.
pub(crate) async fn open(ledger: Arc<dyn Ledger>, terms: Terms) -> Result<OpenedRun, LedgerError> {
    let (requests, asked) = channel();
    let (here, dispatcher) = channel();
    let (tell, answers) = mpsc::unbounded_channel();
    let (opened, ready) = oneshot::channel();
    let (holds, ended) = oneshot::channel::<()>();
    let opens = ledger.clone();
    let work = move || {
        // Dropped last: then the run is free.
        let _holds = holds;
        let read = read(&*opens, &terms, known);
        let (facts, store) = match read {
            Ok((mut facts, store)) => {
                if facts.epoch == 1 {
                    facts.unfinished = unfinished(&*opens);
                }
                (Ok(facts), Some(store))
            }
            Err(error) => (Err(error), None),
        };
        // The future of `build()` may have been dropped: then the channel of requests is closed, and the loop ends.
        opened.send(facts).ok();
        if let Some(store) = store {
            Writer::new(store, (asked, dispatcher), tell, terms.patience).run();
        }
    };
    thread::Builder::new()
        .name("podpool-ledger".to_owned())
        .stack_size(STACK)
        .spawn(work)
        .map_err(|error| failed("start the thread of the ledger", error))?;
    let gone = |_| failed("open the run in the ledger", "its thread ended");
    let Facts {
        run,
        name,
        created,
        mac_key,
        epoch,
        memory,
        unfinished,
    } = ready.await.map_err(gone)??;
    Ok(OpenedRun {
        run,
        name,
        created,
        mac_key,
        epoch,
        link: LedgerLink {
            requests,
            numbers: Numbers::from(memory.next()),
            answers,
            _here: here,
        },
        memory,
        ledger,
        unfinished,
        ended: Some(ended),
    })
}

/// Runs of a ledger that nobody goes on with. Nothing depends on them, so a ledger that cannot tell has none.
fn unfinished(ledger: &dyn Ledger) -> Option<Unfinished> {
    let found = ledger.unfinished(LOOKED_AT);
    let found = found.inspect_err(|error| debug!(%error, "unfinished runs are not known"));
    found.ok()
}

/// The same, for a run that is not remembered there, without blocking the caller.
pub(crate) async fn look_for_unfinished(ledger: Arc<dyn Ledger>) -> Option<Unfinished> {
    let (tell, told) = oneshot::channel();
    let look = move || drop(tell.send(unfinished(&*ledger)));
    let thread = thread::Builder::new().name("podpool-ledger".to_owned());
    thread.spawn(look).ok()?;
    told.await.ok()?
}

fn failed(what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LedgerError {
    LedgerError::Failed {
        what: what.to_owned(),
        transient: false,
        source: source.into(),
    }
}

impl Drop for LedgerLink {
    fn drop(&mut self) {
        // Nothing follows: a `build()` that failed, or an executor that ends. A second release changes nothing.
        self.release(None);
    }
}

impl LedgerLink {
    /// Stores records after all earlier ones.
    pub(crate) fn append(&self, records: Vec<Record>, bytes: usize) {
        // A thread that has ended has answered why, or its channel of answers is closed.
        self.requests.send(Request::Append(records, bytes)).ok();
    }

    /// Reads stored results, after all earlier records.
    pub(crate) fn fetch(&self, results: Vec<(TaskId, TaskId)>) {
        self.requests.send(Request::Fetch(results)).ok();
    }

    /// Answers a command, after all earlier records.
    pub(crate) fn answer_asked(&self, command: CommandId, answer: String) {
        self.requests.send(Request::Answer(command, answer)).ok();
    }

    /// Releases the run, after all earlier records. The numbers from `back` on were not given.
    pub(crate) fn release(&self, back: Option<TaskId>) {
        self.requests.send(Request::Release(back)).ok();
    }

    /// The next answer. May be dropped at any time.
    pub(crate) async fn answer(&mut self) -> Answer {
        let answer = self.answers.recv().await;
        answer.unwrap_or_else(|| {
            Answer::Failed(failed(
                "write the ledger",
                "its thread ended without an order",
            ))
        })
    }
}

struct Writer {
    store: Box<dyn RunLedger>,
    asked: Receiver<Request>,
    dispatcher: Receiver<()>,
    tell: mpsc::UnboundedSender<Answer>,
    patience: Duration,
    /// A request that came behind records, and is served after them.
    later: Option<Request>,
    /// When commands are looked for next; the newest that was passed on.
    look_at: Instant,
    asked_up_to: CommandId,
    /// Answers that could not be written.
    unanswered: Vec<(CommandId, String)>,
}

impl Writer {
    fn new(
        store: Box<dyn RunLedger>,
        (asked, dispatcher): (Receiver<Request>, Receiver<()>),
        tell: mpsc::UnboundedSender<Answer>,
        patience: Duration,
    ) -> Self {
        Self {
            store,
            asked,
            dispatcher,
            tell,
            patience,
            later: None,
            look_at: Instant::now(),
            asked_up_to: CommandId(0),
            unanswered: Vec::new(),
        }
    }

    fn run(mut self) {
        while let Some(request) = self.next() {
            if !self.carry_out(request) {
                return;
            }
        }
    }

    /// Serves a request, and looks for commands where it is time to. False where nothing can be served any more.
    fn carry_out(&mut self, request: Option<Request>) -> bool {
        let serve = || {
            request.map_or(Ok(()), |request| self.serve(request))?;
            self.look();
            Ok(())
        };
        let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(serve));
        let error = match served {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error,
            Err(panic) => failed("write the ledger", panic_text(panic)),
        };
        // The dispatcher may have ended before.
        self.tell.send(Answer::Failed(error)).ok();
        false
    }

    /// The next request; nothing in it when it is time to look for commands. None when no more will come.
    fn next(&mut self) -> Option<Option<Request>> {
        if let Some(request) = self.later.take() {
            return Some(Some(request));
        }
        let pause = self.look_at.saturating_duration_since(Instant::now());
        match self.asked.recv_timeout(pause) {
            Ok(request) => Some(Some(request)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Looks for commands, where it is time to, and passes each on once.
    fn look(&mut self) {
        let now = Instant::now();
        if now < self.look_at {
            return;
        }
        self.look_at = after(now, LOOK);
        for (command, answer) in std::mem::take(&mut self.unanswered) {
            // An error that stays is met again by the next record.
            self.answer(command, answer).ok();
        }
        let commands = match self.store.commands() {
            Ok(commands) => commands,
            // Commands are no part of the run's tasks: it goes on, and they are looked for again.
            Err(error) => {
                debug!(%error, "commands cannot be read");
                return;
            }
        };
        for (id, command) in commands {
            if id > self.asked_up_to {
                self.asked_up_to = id;
                let asked = Asked::of(&mut *self.store, command);
                // The dispatcher may have ended before.
                self.tell.send(Answer::Asked(id, asked)).ok();
            }
        }
    }

    /// Gives back what was not given of the reserved numbers.
    fn give_back(&mut self, back: Option<TaskId>) {
        if let Some(back) = back
            && let Err(error) = self.store.append(&[Record::Reserved(back)], now())
        {
            // The next master leaves them out. An error that stays is that of the release.
            debug!(%error, "numbers of tasks are not given back");
        }
    }

    fn answer(&mut self, command: CommandId, answer: String) -> Result<(), LedgerError> {
        match self.store.answer(command, &answer) {
            // No record depends on it: it is written with the next look.
            Err(error) if error.is_transient() => {
                debug!(%error, "command {command} has no answer yet");
                self.unanswered.push((command, answer));
                Ok(())
            }
            answered => answered,
        }
    }

    fn serve(&mut self, request: Request) -> Result<(), LedgerError> {
        match request {
            Request::Append(records, bytes) => self.append(records, bytes),
            Request::Fetch(results) => results.chunks(FETCHES).try_for_each(|it| self.fetch(it)),
            Request::Answer(command, answer) => self.answer(command, answer),
            Request::Release(back) => {
                self.give_back(back);
                self.store.release()?;
                self.tell.send(Answer::Released).ok();
                Ok(())
            }
        }
    }

    /// Stores these records, and those that have come meanwhile.
    fn append(&mut self, mut records: Vec<Record>, mut bytes: usize) -> Result<(), LedgerError> {
        while records.len() < RECORDS {
            match self.asked.try_recv() {
                Ok(Request::Append(more, size)) => {
                    records.extend(more);
                    bytes += size;
                }
                Ok(other) => {
                    self.later = Some(other);
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        records.iter_mut().for_each(complete);
        let counted = records.iter().filter(|record| counts(record)).count();
        match counted {
            0 => self.store_events(&records)?,
            _ => self.store_all(&records)?,
        }
        self.tell.send(Answer::Stored(counted as u64, bytes)).ok();
        Ok(())
    }

    /// Stores events alone. Nothing depends on them: where the ledger refuses at present they are left out, so that
    /// neither the end of the run nor a stored result waits for them.
    fn store_events(&mut self, events: &[Record]) -> Result<(), LedgerError> {
        match self.store.append(events, now()) {
            Err(error) if error.is_transient() => {
                debug!(%error, "{} events are not in the ledger", events.len());
                Ok(())
            }
            stored => stored,
        }
    }

    fn store_all(&mut self, records: &[Record]) -> Result<(), LedgerError> {
        self.with_patience(|store| store.append(records, now()))
    }

    /// Asks the ledger. What may pass, such as a full disk, is tried again for a time.
    fn with_patience<T>(
        &mut self,
        mut ask: impl FnMut(&mut dyn RunLedger) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let (began, (mut pause, longest)) = (Instant::now(), PAUSES);
        let mut refused = false;
        let answer = loop {
            let error = match ask(&mut *self.store) {
                Err(error) if error.is_transient() => error,
                answer => break answer,
            };
            if began.elapsed() >= self.patience {
                return Err(error);
            }
            if !std::mem::replace(&mut refused, true) {
                self.tell.send(Answer::Refused(chain(&error))).ok();
            }
            // Nothing is ever sent there: it ends the pause where the dispatcher has gone, and the error is not read.
            if self.dispatcher.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                return Err(failed("use the ledger", "its dispatcher has ended"));
            }
            pause = (pause * 2).min(longest);
        };
        // Also where the answer is an error that stays: the dispatcher pulls no results while the ledger refuses.
        if refused {
            self.tell.send(Answer::Served).ok();
        }
        answer
    }

    fn fetch(&mut self, results: &[(TaskId, TaskId)]) -> Result<(), LedgerError> {
        let tasks: Vec<_> = results.iter().map(|(_, task)| *task).collect();
        let outputs = self.with_patience(|store| store.outputs(&tasks));
        let outputs: HashMap<_, _> = match outputs {
            Ok(outputs) => outputs.into_iter().collect(),
            // It has been tried for as long as the ledger may refuse: each result alone would wait as long again.
            Err(error) if error.is_transient() => return Err(error),
            // One by one: a result that cannot be read concerns its own calls alone.
            Err(_) if results.len() > 1 => {
                return results.chunks(1).try_for_each(|one| self.fetch(one));
            }
            Err(error) => {
                let reason = chain(&error);
                let unread = results.iter();
                let unread = unread.map(|(call, task)| (*call, *task, Err(reason.clone())));
                self.tell.send(Answer::Fetched(unread.collect())).ok();
                return Ok(());
            }
        };
        let missing = || "the ledger has the task as done, and no result of it".to_owned();
        let output = |task| outputs.get(task).cloned().ok_or_else(missing);
        let fetched = results.iter();
        let fetched = fetched
            .map(|(call, task)| (*call, *task, output(task)))
            .collect();
        self.tell.send(Answer::Fetched(fetched)).ok();
        Ok(())
    }
}

/// Whether anything waits for a record: for all of them but events.
pub(crate) const fn counts(record: &Record) -> bool {
    !matches!(record, Record::Event(_))
}

/// Adds the shape of a task type, which takes a deep stack to trace.
fn complete(record: &mut Record) {
    if let Record::Type(it) = record
        && let Ok(registry) = Registry::global()
        && let Ok(spec) = registry.find(&it.name)
        && let Ok(shape) = (spec.shape)()
    {
        it.shape = shape.0;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "records tell people, days later, when something happened"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
