//! Outputs: committed once however often a task runs, and tasks that are skipped where their work is done.

use std::fs;

use futures_util::future::join_all;
use podpool::TaskErrorKind;
use podpool::events::EventKind;

use crate::bed::{Bed, Need};
use crate::run::within;
use crate::scratch::Scratch;
use crate::tasks;

/// Of all executions that commit one output, one writes it, and nothing else stays in the directory.
pub async fn an_output_is_committed_once(bed: Bed) {
    let pool = bed.pool(bed.room_for(4)).await;
    let scratch = Scratch::new();
    let directory = scratch.path().join("new").display().to_string();
    let outputs = 25;
    // Each output by three tasks, besides the executions that faults add.
    let futures: Vec<_> = (0..3 * outputs)
        .map(|task| pool.submit(tasks::commit_place(directory.clone(), task % outputs)))
        .collect();
    let ended = within("all commits", join_all(futures)).await;
    let mut writers = Vec::new();
    for (task, ended) in (0..).zip(ended) {
        if let Some(place) = ended.unwrap() {
            writers.push((task % outputs, place));
        }
    }
    within("the shutdown", pool.shutdown()).await.unwrap();
    if bed.has(Need::Faultless) {
        assert_eq!(writers.len() as u64, outputs, "one task wrote each output");
    }
    for (n, place) in writers {
        let found = fs::read_to_string(format!("{directory}/{n}.txt")).unwrap();
        assert_eq!(found, place, "a later execution has replaced output {n}");
    }
    let mut whole = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if let Some(n) = name.strip_suffix(".txt") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(&"x".repeat(10_000)), "{name} is not whole");
            assert!(text.contains(&format!(" of {n} by ")), "{name}: {text}");
            whole += 1;
        } else {
            // An execution that faults have stopped leaves its temporary file.
            assert!(!bed.has(Need::Faultless), "{name} is left");
            assert!(
                name.starts_with(".podpool-") && name.ends_with(".tmp"),
                "{name}"
            );
        }
    }
    assert_eq!(whole, outputs);
}

/// A task whose output exists is skipped, which its future and the events show; a call can force the body.
pub async fn a_task_whose_output_is_there_is_skipped(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut events = pool.events();
    let scratch = Scratch::new();
    let directory = scratch.path().display().to_string();
    let call = || tasks::write_output(directory.clone(), 3);
    for (call, skipped) in [(call(), false), (call(), true), (call().force(), false)] {
        let mut future = pool.submit(call);
        let ended = within("the output", &mut future).await;
        assert_eq!((ended.unwrap(), future.was_skipped()), ((), skipped));
        assert_eq!(future.handle().was_skipped(), skipped);
    }
    let found = fs::read_to_string(scratch.path().join("3.txt")).unwrap();
    assert_eq!(found, format!("3 of {directory}"));
    within("the shutdown", pool.shutdown()).await.unwrap();
    let mut shown = Vec::new();
    while let Some(event) = within("the next event", events.next()).await {
        if let EventKind::Ended { skipped, .. } = event.kind {
            shown.push(skipped);
        }
    }
    assert_eq!(shown, [false, true, false]);
}

/// The function that `skip_if` names gives the result, or leaves the task to its body; its panic is the task's.
pub async fn a_function_can_skip_a_task(bed: Bed) {
    let pool = bed.pool(1).await;
    let calls = [
        (tasks::double(4), 8, false),
        (tasks::double(0), 100, true),
        (tasks::double(0).force(), 0, false),
        (tasks::double(13).force(), 26, false),
    ];
    for (call, expected, skipped) in calls {
        let mut future = pool.submit(call);
        let ended = within("the double", &mut future).await;
        assert_eq!((ended.unwrap(), future.was_skipped()), (expected, skipped));
    }
    let mut future = pool.submit(tasks::double(13));
    let error = within("the panic", &mut future).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Panicked);
    assert!(error.message().contains("was told to panic"), "{error}");
    assert!(!future.was_skipped());
}
