//! Checks of commands: what others ask of a run's master.

use crate::ledger::{Command, CommandRecord, Ledger, LedgerError, Opened, ReadRun, RunLedger};

use crate::id::RunId;

use super::Place;
use super::samples::{TEXTS, at};
use super::steps::{begun, existing, id, master, ok, opened, read, refused, taking_over};

fn all() -> Vec<Command> {
    let texts = || TEXTS.map(str::to_owned);
    let mut all = vec![
        Command::Stop,
        Command::StopNow,
        Command::Scale(0),
        Command::Scale(u32::MAX),
        Command::RetryFailed,
        Command::Retry(Vec::new()),
        Command::Retry(texts().to_vec()),
    ];
    all.extend(texts().map(Command::Drain));
    all
}

fn ask(ledger: &dyn Ledger, run: &Opened, command: &Command) -> crate::ledger::CommandId {
    ok(
        ledger.command(&run.run, command, &master(9), at(5)),
        "command",
    )
}

fn waiting<R: RunLedger + ?Sized>(run: &mut R) -> Vec<Command> {
    let waiting = ok(run.commands(), "commands");
    waiting.into_iter().map(|(_, command)| command).collect()
}

fn asked<R: ReadRun + ?Sized>(run: &mut R) -> Vec<CommandRecord> {
    ok(run.asked(), "what was asked")
}

/// A command reaches the living master as it was given, in the order of their numbers, until the master has answered it;
/// whoever asked reads the answer. Nobody is disturbed.
///
/// # Panics
/// When that is not so.
pub fn a_command_reaches_the_master_and_its_answer_comes_back(place: &Place) {
    let mut run = begun(&*place.ledger);
    assert_eq!(waiting(&mut *run.ledger), []);
    let all = all();
    let ask = |command| ask(&*place.other, &run, command);
    let ids: Vec<_> = all.iter().map(ask).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert_eq!(waiting(&mut *run.ledger), all);
    for (at, text) in TEXTS.iter().enumerate() {
        ok(run.ledger.answer(ids[at], text), "answer");
    }
    assert_eq!(waiting(&mut *run.ledger), all[TEXTS.len()..]);
    let records = asked(&mut *read(&*place.other, &run.run));
    assert_eq!(records, asked(&mut *run.ledger));
    for (place, record) in records.iter().enumerate() {
        assert_eq!((record.id, &record.command), (ids[place], &all[place]));
        assert_eq!((record.epoch, record.at), (1, at(5)));
        assert_eq!(record.by, master(9).to_string());
        assert_eq!(record.answer.as_deref(), TEXTS.get(place).copied());
    }
}

/// A run that nobody holds takes no command: nobody would carry it out.
///
/// # Panics
/// When it takes one.
pub fn a_run_without_a_master_takes_no_command(place: &Place) {
    let mut run = begun(&*place.ledger);
    let ask = |run: &RunId| place.other.command(run, &Command::Stop, &master(9), at(5));
    let error = refused(ask(&id("nobody-0")), "a command to no run");
    assert!(matches!(error, LedgerError::Unknown(_)), "{error}");
    ok(run.ledger.release(), "release");
    let error = refused(ask(&run.run), "a command to a released run");
    assert!(matches!(error, LedgerError::NotHeld(_)), "{error}");
    let killed = opened(&*place.ledger, &existing(&run.run));
    drop(killed);
    let error = refused(ask(&run.run), "a command to a dead master");
    assert!(matches!(error, LedgerError::NotHeld(_)), "{error}");
    assert_eq!(asked(&mut *read(&*place.other, &run.run)), []);
}

/// A command is for the master that lived when it was given: a later one neither gets nor answers it, and an earlier one
/// answers none.
///
/// # Panics
/// When another master does.
pub fn a_command_is_for_one_master(place: &Place) {
    let mut first = begun(&*place.ledger);
    let to_first = ask(&*place.other, &first, &Command::Stop);
    let mut second = opened(&*place.other, &taking_over(&first.run));
    assert_eq!(waiting(&mut *second.ledger), []);
    let to_second = ask(&*place.ledger, &second, &Command::StopNow);
    assert!(to_second > to_first);
    assert_eq!(waiting(&mut *second.ledger), [Command::StopNow]);
    let error = refused(first.ledger.answer(to_first, "late"), "a fenced master");
    assert!(matches!(error, LedgerError::Superseded { .. }), "{error}");
    ok(second.ledger.answer(to_first, "another's"), "answer");
    ok(second.ledger.answer(to_second, "stopped"), "answer");
    let records = asked(&mut *second.ledger);
    let answers: Vec<_> = records.iter().map(|it| it.answer.as_deref()).collect();
    assert_eq!(answers, [None, Some("stopped")]);
}
