//! Limits on memory.

use super::*;

#[tokio::test]
async fn a_slot_past_its_memory_is_stopped() {
    let limited = || Setup {
        memory_limit: Some(128 << 20),
        ..setup()
    };
    let mut rig = Rig::ready(process(), limited()).await;
    assert_eq!(rig.one(1, tasks::claims(32)).await, 32 << 20);
    rig.run(2, [tasks::hogs(1024, 4)]);
    let ended = rig.ended().await;
    assert_eq!(ended.out_of_memory, Some(OutOfMemory::OfSlot(128 << 20)));
    assert_eq!(ended.exit, Exit::Signal(9));
    assert!(
        rig.killed,
        "so that its end is not waited for without a bound"
    );
    assert!(ended.peak_rss.unwrap() > 128 << 20);
    // More than the kernel's stop, at once: the allocator gives up before the sampler looks.
    let mut rig = Rig::ready(process(), limited()).await;
    rig.run(1, [tasks::claims(2048)]);
    let ended = rig.ended().await;
    assert_eq!(ended.out_of_memory, Some(OutOfMemory::OfSlot(128 << 20)));
    assert_eq!(ended.exit, Exit::Signal(6));
    assert!(
        ended.tail[0].starts_with("memory allocation of"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_limit_of_a_frame_counts_while_it_runs() {
    let mut rig = Rig::ready(process(), setup()).await;
    let limited = |number, call: Call<usize>| Frame {
        memory: Some(128 << 20),
        ..Load::of([call]).frame(number)
    };
    rig.slot.run(limited(1, tasks::claims(8)));
    assert_eq!(rig.results(1, 1).await.len(), 1);
    // More than that, for longer than it takes to look, by a frame without a limit.
    assert_eq!(rig.one(2, tasks::hogs(256, 8)).await, 32);
    rig.slot.run(limited(3, tasks::hogs(1024, 4)));
    let ended = rig.ended().await;
    assert_eq!(ended.out_of_memory, Some(OutOfMemory::OfTask(128 << 20)));
    assert_eq!(ended.exit, Exit::Signal(9));
    assert_eq!(ended.running.map(|running| running.frame), Some(3));
    assert!(ended.peak_rss.unwrap() > 128 << 20);
}
