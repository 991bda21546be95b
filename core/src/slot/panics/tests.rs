//! Tests of what is noted of a panic.

use std::panic::{catch_unwind, panic_any, resume_unwind};
use std::thread;

use super::*;

fn failed(panics: &Panics, body: impl FnOnce() + panic::UnwindSafe) -> String {
    panics.begin(Instant::now());
    let payload = catch_unwind(body).unwrap_err();
    let failure = panics.failure(payload);
    panics.end();
    assert_eq!(failure.cause, Cause::Panicked);
    failure.message
}

/// Panics, and gives the line.
const LINE: u32 = line!() + 2;
fn unlucky() {
    panic!("no {}", "luck");
}

fn caught(body: fn()) {
    catch_unwind(body).unwrap_err();
}

#[test]
fn a_panic_has_its_message_and_its_place() {
    install_hook();
    let panics = Panics::of_this_thread(false);
    let message = failed(&panics, unlucky);
    assert!(message.starts_with("no luck, at "), "{message}");
    assert!(message.contains(&format!("tests.rs:{LINE}:")), "{message}");
    let message = failed(&panics, || panic_any(5));
    assert!(
        message.starts_with("a panic without a message, at "),
        "{message}"
    );
}

#[test]
fn a_panic_without_a_hook_has_no_place_of_another() {
    install_hook();
    let panics = Panics::of_this_thread(false);
    failed(&panics, unlucky);
    let resumed = || resume_unwind(Box::new("no luck".to_owned()));
    assert_eq!(
        failed(&panics, resumed),
        "no luck",
        "it was of another task"
    );
    let message = failed(&panics, || {
        caught(|| panic!("caught"));
        resume_unwind(Box::new("thrown"));
    });
    assert_eq!(message, "thrown", "another panic of the same task");
    let message = failed(&panics, || {
        caught(|| panic!("thrown"));
        caught(|| panic!("caught"));
        resume_unwind(Box::new(7));
    });
    assert_eq!(message, "a panic without a message");
}

#[test]
fn a_panic_of_a_thread_that_the_task_started_has_its_own_place() {
    install_hook();
    let joined = |body: fn()| match thread::spawn(body).join() {
        Ok(()) => unreachable!(),
        Err(panic) => resume_unwind(panic),
    };
    let alone = Panics::of_this_thread(true);
    // A hook waits for nothing, and other tests panic at the same time: a note may be lost now and then.
    let place = format!("tests.rs:{LINE}:");
    let is_placed = |_| failed(&alone, move || joined(unlucky)).contains(&place);
    assert!((0..100).any(is_placed));
    let beside = Panics::of_this_thread(false);
    assert_eq!(failed(&beside, move || joined(unlucky)), "no luck");
}

#[test]
fn what_the_library_adds_about_an_abort_stands_behind_the_panic() {
    let note = |text: &str, place: &str| Note {
        kind: TypeId::of::<&str>(),
        text: Some(text.to_owned()),
        place: Some(place.to_owned()),
    };
    let mut notes = vec![note("early", "a.rs:1:1"), note("late", "b.rs:2:2")];
    assert_eq!(failure_of(&notes).message, "late, at b.rs:2:2");
    notes.push(note(CANNOT_UNWIND[1], "core.rs:3:3"));
    assert_eq!(
        failure_of(&notes).message,
        "late, at b.rs:2:2 (panic in a function that cannot unwind)"
    );
}
