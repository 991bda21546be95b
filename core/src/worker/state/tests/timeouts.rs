//! Timeouts of tasks.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_task_that_outlives_its_timeout_is_killed_and_named() {
    let mut bed = bed(1);
    bed.batch("a", "slow", 0, 1, false);
    let deadline = bed.state.deadline().unwrap();
    assert_eq!(deadline, bed.now + SECOND);
    bed.now = deadline;
    bed.tick();
    assert_eq!(bed.kills, [S0]);
    bed.now += SECOND;
    bed.tick();
    assert_eq!(bed.kills, [S0], "one kill");
    bed.exit(S0, Exit::Signal(9), None);
    assert_eq!(bed.causes(), [(0, Cause::TimedOut)]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_from_the_beginning_of_the_task_that_runs() {
    let mut bed = bed(1);
    bed.batch("warm", "slow", 9, 1, false);
    bed.done(S0, 1, Duration::from_micros(1));
    bed.batch("a", "slow", 0, 8, false);
    let number = bed.frames[&S0][0].number;
    let began = bed.now + SECOND / 2;
    bed.script.running.insert(
        S0,
        Running {
            frame: number,
            index: 1,
            first: false,
            since: began,
        },
    );
    bed.now += SECOND;
    bed.tick();
    assert!(bed.kills.is_empty(), "the second task began later");
    bed.now = began + SECOND;
    bed.tick();
    assert_eq!(bed.kills, [S0]);
    let running = bed.script.running[&S0];
    bed.exit(S0, Exit::Signal(9), Some(running));
    assert_eq!(bed.causes(), [(1, Cause::TimedOut)]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_was_looked_at_does_not_keep_the_tasks_behind_it() {
    let mut bed = warm(1);
    let mut body = Vec::new();
    for (n, seconds) in [(0, 3600), (1, 1)] {
        let own = EntryOptions {
            timeout: Some(Duration::from_secs(seconds)),
            key: None,
            memory: None,
            force: false,
        };
        let own = codec::encode(&own).unwrap();
        put_task(&mut body, TaskId(n), Attempt::FIRST, 0, &own, &[1]).unwrap();
    }
    bed.take_in("a", "fast", 2, body.into(), false);
    bed.settle();
    let came = bed.now;
    assert_eq!(bed.busy(), [(0, 2)], "one frame");
    for _ in 0..10 {
        if bed.reclaims.is_empty() {
            bed.now = bed.state.deadline().unwrap();
            bed.tick();
        }
    }
    assert_eq!(bed.now - came, 2 * SECOND);
    assert!(bed.kills.is_empty());
}
