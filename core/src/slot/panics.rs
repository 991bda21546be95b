//! What is known of a panic: the hook notes its message and its place, and the code that catches it looks there.
//!
//! A caught value does not show whether the hook ran for it: `resume_unwind` throws without. So a note counts for the
//! panic with its message only, and only while the task runs that was running then.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, TryLockError};

use tokio::time::Instant;

use crate::outcome::{Cause, Failure, MESSAGE, displayed};
use crate::thrown;

/// Notes that are kept of one task; older ones go.
// A task may catch panics in a loop: 16 notes of up to 24 KiB bound what they take, and the one that ends the task is
// the newest.
const NOTES: usize = 16;
/// Bytes of a message by which a note is known again: more than a failure keeps, so that the cut shows.
const KNOWN_BY: usize = MESSAGE + 4;
/// The texts of the standard library for a panic that cannot unwind: it aborts after the hook.
// Texts of the standard library, which it may change: then the panic is reported as a crash of the process, with its
// text in the output.
const CANNOT_UNWIND: [&str; 2] = [
    "panic in a destructor during cleanup",
    "panic in a function that cannot unwind",
];

/// A panic for which the hook ran.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    kind: TypeId,
    text: Option<String>,
    place: Option<String>,
}

/// The report of a panic that ends the process, and when the running task began.
type Report = Box<dyn Fn(Failure, Option<Instant>)>;

thread_local! {
    /// The panics on this thread since its task began, the newest last.
    static NOTES_HERE: RefCell<Vec<Note>> = const { RefCell::new(Vec::new()) };
    /// Whether tasks run on this thread.
    static RUNS_TASKS: Cell<bool> = const { Cell::new(false) };
    /// When the task began that runs now; none between tasks.
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static REPORT: RefCell<Option<Report>> = const { RefCell::new(None) };
}

/// The panics on threads that run no tasks: those that a task started.
static NOTES_ELSEWHERE: Mutex<Vec<Note>> = Mutex::new(Vec::new());
/// Whether there are any, so that a short task need not lock.
static ANY_ELSEWHERE: AtomicBool = AtomicBool::new(false);

/// Notes every panic, and lets the hook that was there before go on: it prints the message.
pub(super) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Before the old hook: it prints, may block on a lock of stderr, and may abort.
            note(info);
            before(info);
            if ends_the_process(info) {
                report();
            }
        }));
    });
}

/// Passes a panic in this thread's task that ends the process to `report`.
#[cfg(unix)]
pub(super) fn report_to(report: impl Fn(Failure, Option<Instant>) + 'static) {
    REPORT.with(|cell| *cell.borrow_mut() = Some(Box::new(report)));
}

fn note(info: &PanicHookInfo<'_>) {
    let note = Note {
        kind: info.payload().type_id(),
        text: info.payload_as_str().map(|text| known_by(text).to_owned()),
        place: info.location().map(ToString::to_string),
    };
    // A thread that is being torn down has no such cells any more, and no code reads them.
    if RUNS_TASKS.try_with(Cell::get) == Ok(true) {
        let _ = NOTES_HERE.try_with(|notes| {
            if let Ok(mut notes) = notes.try_borrow_mut() {
                push(&mut notes, note);
            }
        });
        return;
    }
    // A hook waits for nothing: in a forked child a lock may be held for ever.
    let mut notes = match NOTES_ELSEWHERE.try_lock() {
        Ok(notes) => notes,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    push(&mut notes, note);
    ANY_ELSEWHERE.store(true, Ordering::Release);
}

fn push(notes: &mut Vec<Note>, note: Note) {
    if notes.len() >= NOTES {
        notes.remove(0);
    }
    notes.push(note);
}

fn known_by(text: &str) -> &str {
    &text[..text.floor_char_boundary(KNOWN_BY)]
}

/// Whether the process aborts after the hook: it was built so, or this panic cannot unwind.
fn ends_the_process(info: &PanicHookInfo<'_>) -> bool {
    cfg!(panic = "abort") || info.payload_as_str().is_some_and(cannot_unwind)
}

fn cannot_unwind(text: &str) -> bool {
    CANNOT_UNWIND.contains(&text)
}

/// Reports the panic that was noted last on this thread, if a task runs here.
fn report() {
    let Ok(Some(began)) = BEGAN.try_with(Cell::get) else {
        return;
    };
    let Ok(failure) = NOTES_HERE.try_with(|notes| failure_of(&notes.borrow())) else {
        return;
    };
    // Taken out, so that a panic within does not come back here.
    let report = REPORT.try_with(|cell| cell.borrow_mut().take());
    if let Ok(Some(report)) = report {
        report(failure, Some(began));
    }
}

/// The failure of a task whose panic ends the process. What the library adds about the abort is not the panic itself.
fn failure_of(notes: &[Note]) -> Failure {
    let text = |note: &Note| note.text.clone().unwrap_or_default();
    let adds = |note: &&Note| note.text.as_deref().is_some_and(cannot_unwind);
    let added = notes.last().filter(adds).map(text);
    let cause = notes.iter().rev().find(|note| !adds(note));
    let mut failure = panicked(
        cause
            .and_then(|note| note.text.as_deref())
            .unwrap_or(thrown::NO_MESSAGE),
        cause.and_then(|note| note.place.as_deref()),
    );
    if let Some(added) = added {
        failure.message = format!("{} ({added})", failure.message);
    }
    failure
}

fn panicked(text: &str, place: Option<&str>) -> Failure {
    let mut message = displayed(text, MESSAGE);
    if let Some(place) = place {
        message = format!("{message}, at {place}");
    }
    Failure::new(Cause::Panicked, message)
}

/// The panics of the tasks of one thread.
#[derive(Debug)]
pub(super) struct Panics {
    /// Whether this process runs one task at a time: then what other threads throw is that task's.
    alone: bool,
}

impl Panics {
    /// Of the tasks of the calling thread.
    pub(super) fn of_this_thread(alone: bool) -> Self {
        RUNS_TASKS.set(true);
        Self { alone }
    }

    /// A task begins: what was noted before is of others.
    pub(super) fn begin(&self, now: Instant) {
        BEGAN.set(Some(now));
        NOTES_HERE.with(|notes| notes.borrow_mut().clear());
        if self.alone && ANY_ELSEWHERE.load(Ordering::Acquire) {
            // Before the list is emptied: a note that comes in between sets the flag again and may be emptied with the
            // rest, which loses a place and nothing else.
            ANY_ELSEWHERE.store(false, Ordering::Release);
            crate::lock::lock(&NOTES_ELSEWHERE).clear();
        }
    }

    /// The task's body has ended.
    pub(super) fn end(&self) {
        BEGAN.set(None);
    }

    /// The failure of the task that threw `payload`; it is dropped.
    pub(super) fn failure(&self, payload: Box<dyn Any + Send>) -> Failure {
        let kind = (*payload).type_id();
        let known = thrown::text(&*payload).map(known_by);
        let matches = |note: &&Note| note.kind == kind && note.text.as_deref() == known;
        let here = NOTES_HERE.with(|notes| {
            let notes = notes.borrow();
            let note = notes.iter().rev().find(matches);
            note.and_then(|note| note.place.clone())
        });
        let place = here.or_else(|| {
            let notes = self.alone.then(|| crate::lock::lock(&NOTES_ELSEWHERE))?;
            let mut places = notes.iter().filter(matches).map(|note| &note.place);
            let first = places.next()?;
            // The same text from two places: either may be meant.
            places.all(|place| place == first).then(|| first.clone())?
        });
        let failure = panicked(thrown::message(&*payload), place.as_deref());
        thrown::discard(payload);
        failure
    }
}

#[cfg(test)]
mod tests;
