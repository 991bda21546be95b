//! What the dispatcher is told while a ledger refuses.

use podpool_core::id::RunName;
use podpool_core::ledger::memory::MemoryLedger;
use podpool_core::ledger::{Command, Master, Which};

use super::*;

/// A writer of a run, the channel of its answers, and what keeps its dispatcher alive.
fn writer(patience: Duration) -> (Writer, mpsc::UnboundedReceiver<Answer>, Sender<()>) {
    writer_of(&MemoryLedger::new(), patience)
}

fn writer_of(
    ledger: &MemoryLedger,
    patience: Duration,
) -> (Writer, mpsc::UnboundedReceiver<Answer>, Sender<()>) {
    let name = RunName::new("nightly").unwrap();
    let opening = Opening {
        which: Which::Named {
            fresh: RunId::of(&name),
            name,
            mac_key: [0; 32],
        },
        master: Master::default(),
        take_over: false,
        now: SystemTime::UNIX_EPOCH,
    };
    let (_, asked) = channel();
    let (here, dispatcher) = channel();
    let (tell, told) = mpsc::unbounded_channel();
    let store = ledger.open(&opening).unwrap().ledger;
    let writer = Writer::new(store, (asked, dispatcher), tell, patience);
    (writer, told, here)
}

fn refusal(transient: bool) -> LedgerError {
    LedgerError::Failed {
        what: "read a result".to_owned(),
        transient,
        source: "a test refuses it".into(),
    }
}

#[test]
fn an_error_that_stays_ends_a_refusal() {
    let (mut writer, mut told, _here) = writer(Duration::from_secs(600));
    let mut answers = [refusal(true), refusal(false)].into_iter();
    let answer = writer.with_patience(|_| answers.next().map_or(Ok(()), Err));

    assert!(!answer.unwrap_err().is_transient());
    assert!(matches!(told.try_recv(), Ok(Answer::Refused(_))));
    assert!(matches!(told.try_recv(), Ok(Answer::Served)));
    told.try_recv().unwrap_err();
}

#[test]
fn a_refusal_that_outlasts_the_patience_is_the_answer() {
    let (mut writer, mut told, _here) = writer(Duration::ZERO);
    let answer = writer.with_patience(|_| Err::<(), _>(refusal(true)));

    assert!(answer.unwrap_err().is_transient());
    told.try_recv().unwrap_err();
}

#[test]
fn a_command_is_passed_on_once_and_its_answer_is_stored() {
    let ledger = MemoryLedger::new();
    let (mut writer, mut told, _here) = writer_of(&ledger, Duration::ZERO);
    let run = writer.store.run().unwrap().run;
    let ask = |command| {
        let asked = ledger.command(&run, &command, &Master::default(), SystemTime::UNIX_EPOCH);
        asked.unwrap()
    };
    let id = ask(Command::Scale(3));
    for _ in 0..2 {
        writer.look_at = Instant::now();
        writer.look();
    }
    let passed = told.try_recv();
    assert!(
        matches!(passed, Ok(Answer::Asked(it, Asked::Command(Command::Scale(3)))) if it == id),
        "{passed:?}"
    );
    told.try_recv().unwrap_err();
    // Its tasks are read here; there are none.
    ask(Command::RetryFailed);
    writer.look();
    told.try_recv().unwrap_err();
    writer.look_at = Instant::now();
    writer.look();
    let passed = told.try_recv();
    assert!(
        matches!(&passed, Ok(Answer::Asked(_, Asked::Again(calls))) if calls.is_empty()),
        "{passed:?}"
    );
    let answered = writer.serve(Request::Answer(id, "done".to_owned()));
    answered.unwrap();
    let asked = ledger.read(&run).unwrap().asked().unwrap();
    assert_eq!(asked[0].answer.as_deref(), Some("done"));
    assert_eq!(asked[1].answer, None);
}
