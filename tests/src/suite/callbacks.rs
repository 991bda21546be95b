//! Callbacks: in the order in which they were added, on a thread of their own, at once when the task has ended.

use std::sync::mpsc::channel;
use std::thread;

use podpool::TaskState;

use crate::bed::{Bed, goes_on};
use crate::run::{step_limit, within};
use crate::tasks;

/// In order, and off the caller's thread.
pub async fn they_run_in_order(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let held = pool.submit(tasks::hold(gate.address(), 0));
    let guest = gate.arrival().await;
    let (send, receive) = channel();
    for n in 0..20 {
        let send = send.clone();
        held.on_done(move |handle| {
            send.send((n, handle.state(), thread::current().id()))
                .unwrap();
        });
    }
    guest.let_go();
    within("the task", held).await.unwrap();
    within("the shutdown", pool.shutdown()).await.unwrap();
    // A shutdown waits for the callbacks: they are all there.
    for expected in 0..20 {
        let (n, state, on) = receive.try_recv().unwrap();
        assert_eq!((n, state), (expected, TaskState::Done));
        assert_ne!(on, thread::current().id());
    }
}

/// At once when the task has ended.
pub async fn a_late_one_runs_at_once(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut future = pool.submit(tasks::echo(1));
    future.result(step_limit()).await.unwrap().unwrap();
    let (send, receive) = channel();
    future.on_done(move |handle| send.send(handle.is_done()).unwrap());
    assert!(receive.recv_timeout(step_limit()).unwrap());
}

/// A panic harms nobody else.
pub async fn a_panic_stops_no_other(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut future = pool.submit(tasks::echo(1));
    let (send, receive) = channel();
    future.on_done(|_| panic!("this callback was told to panic"));
    future.on_done(move |_| send.send(()).unwrap());
    future.result(step_limit()).await.unwrap().unwrap();
    receive.recv_timeout(step_limit()).unwrap();
    goes_on(&pool).await;
}

/// Failed and cancelled tasks have them too.
pub async fn failures_and_cancels_are_told(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(2)).await;
    let (send, receive) = channel();
    let failing = pool.submit(tasks::flaky(9));
    let tell = send.clone();
    failing.on_done(move |handle| tell.send(handle.state()).unwrap());
    assert_eq!(
        receive.recv_timeout(step_limit()).unwrap(),
        TaskState::Failed
    );
    let held = pool.submit(tasks::hold(gate.address(), 0));
    held.on_done(move |handle| send.send(handle.state()).unwrap());
    let _guest = gate.arrival().await;
    within("the cancel", held.cancel()).await;
    assert_eq!(
        receive.recv_timeout(step_limit()).unwrap(),
        TaskState::Cancelled
    );
}

/// A callback may use the pool: it submits the next task.
pub async fn one_may_submit_the_next(bed: Bed) {
    let pool = bed.pool(1).await;
    let (send, receive) = channel();
    let next = pool.clone();
    let first = pool.submit(tasks::echo(1));
    first.on_done(move |_| {
        let second = next.submit(tasks::echo(2));
        second.on_done(move |handle| send.send(handle.state()).unwrap());
    });
    assert_eq!(receive.recv_timeout(step_limit()).unwrap(), TaskState::Done);
}
