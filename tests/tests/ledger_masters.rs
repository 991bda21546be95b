//! Two masters of one run, as programs: both at once, and one that was stopped and wakes after a take-over.

#![cfg(feature = "ledger")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::Path;

use podpool::ledger::{Ledger, Status};
use podpool_tests::faults::Program;
use podpool_tests::faults::processes::signal;
use podpool_tests::meeting::Meeting;
use podpool_tests::scratch::Scratch;
use rustix::process::Signal;

/// A meeting, and the directories of a ledger and of outputs.
struct Ground {
    scratch: Scratch,
    meeting: Meeting,
}

impl Ground {
    fn new() -> Self {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path().join("out")).unwrap();
        Self {
            scratch,
            meeting: Meeting::new(),
        }
    }

    /// A master with so many tasks, which has not said yet whether it has the run.
    fn start(&self, tasks: u32, more: &[&str]) -> Program {
        let path = |path: &Path| path.display().to_string();
        let directory = |name| path(&self.scratch.path().join(name));
        let arguments = [
            directory("runs"),
            directory("out"),
            path(&self.meeting.path()),
            tasks.to_string(),
        ];
        let arguments = arguments.iter().map(String::as_str);
        let arguments: Vec<_> = arguments.chain(more.iter().copied()).collect();
        let program = Path::new(env!("CARGO_BIN_EXE_ledger-master"));
        Program::start(program, &arguments)
    }

    fn ledger(&self) -> Ledger {
        Ledger::open(self.scratch.path().join("runs"))
    }

    /// Which master wrote each output, by the outputs' names.
    fn outputs(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.scratch.path().join("out")).unwrap();
        let read = |entry: fs::DirEntry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text)
        };
        let mut outputs: Vec<_> = entries.map(|entry| read(entry.unwrap())).collect();
        outputs.sort();
        outputs
    }

    /// The outputs of so many tasks, all of this master.
    fn all_of(tasks: u32, master: &Program) -> Vec<(String, String)> {
        let one = |name| (format!("{name}.txt"), master.pid().to_string());
        (0..tasks).map(one).collect()
    }
}

#[tokio::test]
async fn of_masters_that_start_together_one_has_the_run_and_the_others_are_told() {
    let ground = Ground::new();
    let mut masters: Vec<_> = (0..4).map(|_| ground.start(2, &[])).collect();
    let mut told = Vec::new();
    for master in &mut masters {
        told.push(master.hear("").await);
    }
    let one = told.iter().position(|line| line == "has it").unwrap();
    let mut winner = masters.remove(one);
    told.remove(one);
    for refusal in told {
        let who = format!("refused process {} (ledger-master) on host", winner.pid());
        assert!(refusal.starts_with(&who), "{refusal}");
        assert!(refusal.contains("has held run nightly-"), "{refusal}");
        assert!(refusal.contains("take the run over"), "{refusal}");
        assert!(refusal.contains("take_over"), "the setting: {refusal}");
    }
    for mut refused in masters {
        assert!(refused.wait().await.success());
    }
    winner.say("go").await;
    for guest in ground.meeting.guests(2).await {
        guest.let_go().await;
    }
    for task in 0..2 {
        assert_eq!(winner.hear(&format!("task {task} ")).await, "wrote true");
    }
    assert_eq!(winner.hear("ended").await, "");
    assert!(winner.wait().await.success());
    assert_eq!(ground.outputs(), Ground::all_of(2, &winner));
    let mut run = ground.ledger().run("nightly").unwrap();
    let record = run.record().unwrap();
    assert!(!record.held);
    assert_eq!(record.masters.len(), 1, "one that was refused is no master");
}

#[tokio::test]
async fn a_master_that_wakes_after_a_take_over_stores_and_writes_nothing_more() {
    let ground = Ground::new();
    let mut stopped = ground.start(2, &[]);
    stopped.hear("has it").await;
    stopped.say("go").await;
    let late = ground.meeting.guests(2).await;
    assert!(signal(stopped.pid(), Signal::STOP));

    // A stopped process has the run, until that is taken over.
    let mut refused = ground.start(2, &[]);
    let refusal = refused.hear("refused").await;
    assert!(refusal.contains(&stopped.pid().to_string()), "{refusal}");
    let mut second = ground.start(2, &["take-over"]);
    second.hear("has it").await;
    second.say("go").await;
    for guest in ground.meeting.guests(2).await {
        guest.let_go().await;
    }
    for task in 0..2 {
        assert_eq!(second.hear(&format!("task {task} ")).await, "wrote true");
    }
    assert_eq!(second.hear("ended").await, "");
    let outputs = ground.outputs();
    assert_eq!(outputs, Ground::all_of(2, &second));
    let tasks = || ground.ledger().run("nightly").unwrap().tasks().unwrap();
    let before = tasks();

    // Its slots were not stopped: they find the outputs. It wakes, and learns that the run is another's.
    for guest in late {
        guest.let_go().await;
    }
    assert!(signal(stopped.pid(), Signal::CONT));
    for task in 0..2 {
        let end = stopped.hear(&format!("task {task} ")).await;
        let lost =
            end.starts_with("PoolBroken") && end.contains(" taken ") && end.contains(" over");
        assert!(lost, "{end}");
    }
    let end = stopped.hear("ended ").await;
    assert!(end.contains("another master (epoch 2)"), "{end}");
    assert!(stopped.wait().await.success());

    assert_eq!(ground.outputs(), outputs, "nothing was replaced");
    assert_eq!(tasks(), before, "nothing was stored");
    for task in before {
        let by = task.ended.as_ref().map(|end| end.stored.0);
        assert_eq!(by, Some(2), "{task:?}");
        let expected = match task.submitted.0 {
            1 => Status::Interrupted,
            _ => Status::Done,
        };
        assert_eq!(task.status, expected, "{task:?}");
    }
    let record = ground.ledger().run("nightly").unwrap().record().unwrap();
    assert!(!record.held);
    assert_eq!(record.masters.len(), 2);
}
