//! A year on ten pods whose master is killed again and again: its pods go on, and the next start takes the run over.

use std::time::{Duration, Instant};

use podpool::ledger::{Ledger, Status};
use tokio::process::Child;

use crate::ground::{Place, TURN, WORKERS, nothing_is_left};

/// Kills of the master, where `FLIGHTS_KILLS` does not say.
const KILLS: usize = 2;
/// Days of the year.
const YEAR: usize = 365;
/// Most tasks of a batch: of short tasks, half a second of work.
const BATCH: usize = 4096;
/// The longest time of one start.
const BOUND: Duration = Duration::from_secs(240);
/// Between two looks at the output.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until the output has so many files, or the program has ended. Whether it runs.
async fn runs_until(child: &mut Child, place: &Place, files: usize) -> bool {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if place.count().await >= files {
            return true;
        }
        assert!(began.elapsed() < BOUND, "no {files} files after {BOUND:?}");
        // A bucket sends no event.
        tokio::time::sleep(LOOK).await;
    }
    false
}

#[tokio::test]
async fn a_year_whose_master_is_killed_again_and_again_is_the_year() {
    let _turn = TURN.lock().await;
    let Some(place) = Place::make().await else {
        return;
    };
    let kills = std::env::var("FLIGHTS_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let ledger = scratch.path().join("runs");
    let shown = ledger.display().to_string();
    let arguments = ["--run", "year-2013", "--ledger", &shown];
    let (began, mut killed) = (Instant::now(), 0);
    for kill in 0..kills {
        let mut child = place.start(&arguments);
        // The first while pods start, the others while they work.
        let files = kill * YEAR / (kills + 1);
        if !runs_until(&mut child, &place, files).await {
            break;
        }
        // SIGKILL: nothing of the program runs any more.
        child.kill().await.unwrap();
        killed += 1;
    }
    println!("{killed} kills in {:.1?}", began.elapsed());
    assert!(killed * 2 >= kills, "{killed} kills");
    let last = place.start(&arguments).wait_with_output();
    let last = tokio::time::timeout(BOUND, last).await;
    place.remove_secret().await;
    let last = last.expect("the program hangs").unwrap();
    let said = String::from_utf8_lossy(&last.stderr);
    assert!(last.status.success(), "{said}");
    println!("all in {:.1?}", began.elapsed());

    let mut run = Ledger::open(&ledger).run("year-2013").unwrap();
    let record = run.record().unwrap();
    assert!(!record.held, "no master holds it");
    let tasks = run.tasks().unwrap();
    assert_eq!(tasks.len(), YEAR, "each day is one task");
    assert!(tasks.iter().all(|it| it.status == Status::Done));
    let mut lost = 0;
    for task in &tasks {
        lost += run.attempts(task.task).unwrap().len();
    }
    println!("{lost} executions without a result");
    assert!(lost <= killed * WORKERS * BATCH);
    nothing_is_left(&place.cluster, &record.run, &place.name).await;
    place.compare().await;
}
