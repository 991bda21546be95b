//! Callbacks: in the order in which they were added, on a thread of their own, at once when the task has ended.

use std::sync::mpsc::channel;
use std::thread;

use podpool::{ReturnWhen, ShutdownBehavior, TaskState, wait};

use crate::bed::{Bed, goes_on};
use crate::run::{step_limit, within};
use crate::tasks;

/// Waits on the callbacks' thread, as a callback of a program may. The thread has no runtime, so one is made here.
fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

/// Callbacks run in the order in which they were added, on another thread than the caller's.
pub async fn callbacks_run_in_order(bed: Bed) {
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
    // A shutdown waits for the callbacks, so `try_recv` finds all of them without a wait.
    for expected in 0..20 {
        let (n, state, on) = receive.try_recv().unwrap();
        assert_eq!((n, state), (expected, TaskState::Done));
        assert_ne!(on, thread::current().id());
    }
}

/// A callback that is added after the task's end runs at once.
pub async fn a_late_callback_runs_at_once(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut future = pool.submit(tasks::echo(1));
    future.result(step_limit()).await.unwrap().unwrap();
    let (send, receive) = channel();
    future.on_done(move |handle| send.send(handle.is_done()).unwrap());
    assert!(receive.recv_timeout(step_limit()).unwrap());
}

/// A callback that panics affects neither the next callback nor another task.
pub async fn a_panic_stops_no_other_callback(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut future = pool.submit(tasks::echo(1));
    let (send, receive) = channel();
    future.on_done(|_| panic!("this callback was told to panic"));
    future.on_done(move |_| send.send(()).unwrap());
    future.result(step_limit()).await.unwrap().unwrap();
    receive.recv_timeout(step_limit()).unwrap();
    goes_on(&pool).await;
}

/// Callbacks of failed and cancelled tasks run too.
pub async fn failures_and_cancels_are_reported(bed: Bed) {
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
pub async fn a_callback_may_submit_the_next_task(bed: Bed) {
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

/// A callback may shut the pool down and wait for the end; the callbacks behind it run afterwards.
pub async fn a_callback_may_shut_down_and_wait(bed: Bed) {
    for behavior in [ShutdownBehavior::WaitForTasks, ShutdownBehavior::Abort] {
        let pool = bed.pool(1).await;
        let (send, receive) = channel();
        let mut future = pool.submit(tasks::echo(1));
        let (inner, tell) = (pool.clone(), send.clone());
        future.on_done(move |_| {
            let ended = block_on(inner.shutdown_with(behavior));
            tell.send(format!("{ended:?}")).unwrap();
        });
        future.on_done(move |_| send.send("the next one".to_owned()).unwrap());
        future.result(step_limit()).await.unwrap().unwrap();
        // A shutdown from outside a callback waits for all callbacks, the one that waits for a shutdown included.
        within("the program's own shutdown", pool.shutdown())
            .await
            .unwrap();
        let said: Vec<_> = receive.try_iter().collect();
        assert_eq!(said, ["Ok(())", "the next one"], "{behavior:?}");
    }
}

/// A callback may wait for other tasks, whose callbacks then run behind it: there is one thread for all callbacks.
pub async fn a_callback_may_wait_for_other_futures(bed: Bed) {
    let pool = bed.pool(2).await;
    let (send, receive) = channel();
    let mut first = pool.submit(tasks::echo(0));
    let inner = pool.clone();
    first.on_done(move |_| {
        let futures: Vec<_> = (1..=5).map(|n| inner.submit(tasks::echo(n))).collect();
        for future in &futures {
            let tell = send.clone();
            future.on_done(move |_| tell.send("a callback of another").unwrap());
        }
        send.send("all are submitted").unwrap();
        let seen = block_on(wait(futures, ReturnWhen::All, None));
        assert_eq!(seen.done.len(), 5);
        send.send("all are done").unwrap();
    });
    first.result(step_limit()).await.unwrap().unwrap();
    // A shutdown before this message would refuse the tasks that the callback submits, and would not wait for callbacks
    // that are added after its call.
    let submitted = receive.recv_timeout(step_limit()).unwrap();
    assert_eq!(submitted, "all are submitted");
    within("the shutdown", pool.shutdown()).await.unwrap();
    let said: Vec<_> = receive.try_iter().collect();
    assert_eq!(said[0], "all are done");
    assert_eq!(said[1..], ["a callback of another"; 5]);
}

/// A callback may hold the last handle of the pool and drop that handle.
pub async fn a_callback_may_drop_the_pool(bed: Bed) {
    let pool = bed.pool(1).await;
    let (send, receive) = channel();
    let mut future = pool.submit(tasks::echo(1));
    future.on_done(move |_| {
        drop(pool);
        send.send(()).unwrap();
    });
    future.result(step_limit()).await.unwrap().unwrap();
    receive.recv_timeout(step_limit()).unwrap();
}
