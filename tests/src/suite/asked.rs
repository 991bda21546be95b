//! What another process asks of a run, by its ledger.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::join_all;
use podpool::error::ShutdownError;
use podpool::events::EventKind;
use podpool::testing::Builder as _;
use podpool::{PodPoolExecutor, TaskErrorKind};
use podpool_core::ledger::memory::MemoryLedger;
use podpool_core::ledger::{Command, CommandRecord, Ledger, Master};

use crate::bed::{Bed, built};
use crate::run::within;
use crate::tasks;

async fn pool(bed: &Bed, ledger: &MemoryLedger) -> PodPoolExecutor {
    let builder = bed.builder(bed.room_for(2)).run("nightly");
    built(builder.remembered_in(Arc::new(ledger.clone()))).await
}

/// Asks something of the run, as another process does.
fn ask(pool: &PodPoolExecutor, ledger: &MemoryLedger, command: &Command) {
    let asked = ledger.command(
        pool.run_id(),
        command,
        &Master::default(),
        SystemTime::UNIX_EPOCH,
    );
    asked.unwrap();
}

fn asked(pool: &PodPoolExecutor, ledger: &MemoryLedger) -> Vec<CommandRecord> {
    ledger.read(pool.run_id()).unwrap().asked().unwrap()
}

/// Another process stops a run: what has not begun is cancelled, what runs is finished, and the answer says so.
pub async fn a_command_stops_the_run(bed: Bed) {
    let (ledger, gate) = (MemoryLedger::new(), bed.gate());
    let pool = pool(&bed, &ledger).await;
    let mut events = pool.events();
    let held = pool.submit(tasks::hold(gate.address(), 1));
    let arrival = gate.arrival().await;
    // Until its worker has reported it, a task counts as not begun.
    let begun = async {
        while let Some(event) = events.next().await {
            if matches!(event.kind, EventKind::Started { .. }) {
                break;
            }
        }
    };
    within("the first one to be reported", begun).await;
    // More than any bed has slots: the last ones have not begun.
    let later: Vec<_> = (2..200)
        .map(|n| pool.submit(tasks::hold(gate.address(), n)))
        .collect();
    ask(&pool, &ledger, &Command::Stop);
    let mut later = later.into_iter().rev();
    let last = later.next().unwrap();
    let error = within("the last one", last).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Cancelled);
    let refused = within("a call after it", pool.submit(tasks::echo(1))).await;
    assert_eq!(refused.unwrap_err().kind(), TaskErrorKind::ShutDown);
    arrival.let_go();
    drop(gate);
    assert_eq!(within("the one that ran", held).await.unwrap(), 1);
    for ended in within("the others", join_all(later)).await {
        let cancelled = ended.map_err(|error| error.kind());
        assert!(matches!(cancelled, Ok(_) | Err(TaskErrorKind::Cancelled)));
    }
    // The first may come when the run has ended by itself; the second does.
    for _ in 0..2 {
        let ended = within("the shutdown", pool.shutdown()).await;
        assert_eq!(ended, Err(ShutdownError::Stopped));
    }
    let records = asked(&pool, &ledger);
    let [record] = &records[..] else {
        panic!("{records:?}");
    };
    let answer = record.answer.as_deref().unwrap_or_default();
    assert!(answer.contains("cancelled"), "{answer:?}");
    let events = ledger.read(pool.run_id()).unwrap().events().unwrap();
    let of = |kind: &str| events.newest.iter().any(|event| event.kind == kind);
    assert!(of("worker came") && of("command"), "{events:?}");
}

/// Another process submits again what failed; a command that cannot be carried out here is refused in words.
pub async fn a_command_submits_what_failed_again(bed: Bed) {
    let ledger = MemoryLedger::new();
    let pool = pool(&bed, &ledger).await;
    let failing = pool.submit(tasks::hopeless().key("x"));
    within("a failure", failing).await.unwrap_err();
    ask(&pool, &ledger, &Command::RetryFailed);
    ask(&pool, &ledger, &Command::Drain("nobody".to_owned()));
    let again = async {
        while pool.stats().failed < 2 {
            // Each task that ends is a turn of the executor; until then the command is on its way.
            pool.submit(tasks::echo(1)).await.unwrap();
        }
    };
    within("the second failure", again).await;
    within("the shutdown", pool.shutdown()).await.unwrap();
    let answers: Vec<_> = asked(&pool, &ledger)
        .into_iter()
        .map(|it| it.answer.unwrap_or_default())
        .collect();
    assert_eq!(answers[0], "1 task is submitted again");
    assert!(answers[1].starts_with("refused: "), "{answers:?}");
}
