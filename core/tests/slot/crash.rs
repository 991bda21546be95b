//! Tasks that panic, crash, hang, or spoil what their slot needs.

use super::*;

#[tokio::test]
async fn a_panic_is_a_failure_with_its_place() {
    let mut rig = Rig::ready(process(), setup()).await;
    rig.run(1, [tasks::panics("luck".into())]);
    let failure = rig.failure(1).await;
    assert_eq!(failure.cause, Cause::Panicked);
    assert!(failure.message.starts_with("no luck, at "), "{failure}");
    assert!(failure.message.contains("slot/tasks.rs:"), "{failure}");
    let ran = failure.ran.unwrap();
    assert_eq!(ran.pid, rig.slot.pid());
    assert!(is_recent(ran.started), "{ran:?}");
    let tail = rig.slot.tail(1);
    assert_eq!(tail[0], "about to panic", "{tail:?}");
    assert!(tail.iter().any(|line| line.contains("no luck")), "{tail:?}");
    rig.run(2, [tasks::panics_later("hope".into())]);
    let failure = rig.failure(2).await;
    assert!(failure.message.starts_with("no hope, at "), "{failure}");
    assert_eq!(rig.one(3, tasks::later(1)).await, 1);
    assert_eq!(rig.slot.tail(3), [""; 0]);
}

#[tokio::test]
async fn a_crash_names_the_task_and_its_last_words() {
    let mut rig = Rig::ready(process(), setup()).await;
    let mut load = Load::of((0..17).map(tasks::noop));
    load.add(tasks::aborts());
    load.add(tasks::noop(1));
    let pid = rig.slot.pid();
    rig.slot.run(load.frame(9));
    let ended = rig.ended().await;
    assert_eq!(ended.exit, Exit::Signal(6));
    assert!(pid.is_some() && ended.pid == pid, "{ended:?}");
    assert!(is_recent(ended.started), "{ended:?}");
    // It was looked at once, when its first frame came.
    assert!(ended.peak_rss.unwrap() > 1 << 20);
    let running = ended.running.unwrap();
    assert_eq!(
        (running.frame, running.index, running.first),
        (9, 17, false)
    );
    assert_eq!(ended.tail, ["last words"]);
    assert_eq!(ended.out_of_memory, None);
    assert_eq!(rig.printed, [(Stream::Stdout, "last words".to_owned())]);
}

#[tokio::test]
async fn the_first_task_of_a_slot_is_told_apart() {
    for packed in [false, true] {
        let mut rig = Rig::ready(process(), setup()).await;
        let mut load = Load::of([tasks::exits(3)]);
        if packed {
            load.add(tasks::noop(1));
        }
        rig.slot.run(load.frame(1));
        let ended = rig.ended().await;
        assert_eq!(ended.exit, Exit::Code(3));
        let running = ended.running.unwrap();
        assert_eq!((running.frame, running.index, running.first), (1, 0, true));
    }
    let mut rig = Rig::ready(process(), setup()).await;
    rig.one(1, tasks::noop(1)).await;
    rig.run(2, [tasks::exits(4)]);
    let running = rig.ended().await.running.unwrap();
    assert_eq!((running.frame, running.index, running.first), (2, 0, false));
}

#[tokio::test]
async fn a_stack_overflow_is_a_crash() {
    let mut rig = Rig::ready(process(), setup()).await;
    rig.run(1, [tasks::overflows(0)]);
    let ended = rig.ended().await;
    assert_eq!(ended.exit, Exit::Signal(6));
    assert!(
        ended
            .tail
            .iter()
            .any(|line| line.contains("overflowed its stack")),
        "{ended:?}"
    );
    assert_eq!(ended.out_of_memory, None);
}

#[tokio::test]
async fn a_task_that_hangs_is_killed() {
    let mut rig = Rig::ready(process(), setup()).await;
    let mut load = Load::of([tasks::noop(1), tasks::noop(2)]);
    load.add(tasks::hangs());
    load.add(tasks::noop(3));
    let before = tokio::time::Instant::now();
    rig.slot.run(load.frame(1));
    // What was done comes while the task hangs.
    assert_eq!(rig.results(1, 2).await.len(), 2);
    rig.wait_for_line("hanging").await;
    let running = rig.slot.running().unwrap();
    assert_eq!((running.frame, running.index, running.first), (1, 2, false));
    assert!(running.since >= before && running.since <= tokio::time::Instant::now());
    rig.slot.kill();
    let ended = rig.ended().await;
    assert_eq!(ended.exit, Exit::Signal(9));
    assert_eq!(ended.running.map(|r| r.index), Some(2));
    assert_eq!(ended.out_of_memory, None);
}

#[tokio::test]
async fn a_slot_whose_task_closes_what_it_needs_ends() {
    let mut rig = Rig::ready(process(), setup()).await;
    rig.run(1, [tasks::closes_stdout("/dev/null".into())]);
    assert_eq!(rig.results(1, 1).await.len(), 1);
    assert_eq!(rig.one(2, tasks::noop(1)).await, 1);
    rig.run(3, [tasks::cuts_its_sockets()]);
    let ended = rig.ended().await;
    assert_eq!(ended.exit, Exit::Signal(9));
    assert_eq!(ended.running.map(|r| r.frame), Some(3));
}
