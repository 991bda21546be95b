//! The roles of a program with a `main` of its own: master, slot, worker, and those that forgot `init()`.
//!
//! It has no libtest, because `main` is what is tested.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, though not one that clippy knows as such"
)]

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use podpool_core::envelope::entry;
use podpool_core::id::{Attempt, ExecutionId, RunId, TaskId, WorkerId};
use podpool_core::init::{self, BuildRefused, Role};
use podpool_core::outcome::Exit;
use podpool_core::registry::Registry;
use podpool_core::slot::{Frame, Launch, OutputLimits, Program, Setup, Slot, SlotEvent, SlotId};
use podpool_core::task::Place;
use podpool_macros::task;
use tokio::sync::mpsc::unbounded_channel;

const BOUND: Duration = Duration::from_secs(30);
const FORGETFUL: &str = "PODPOOL_TEST_FORGETFUL";

static SETUPS: AtomicU32 = AtomicU32::new(0);

/// How often the set-up ran, the role, and what a program that this one starts takes itself for.
#[task(crate = podpool_core)]
fn describe() -> (u32, String, String) {
    let grandchild = Command::new("/proc/self/exe").arg("role").output().unwrap();
    (
        SETUPS.load(Ordering::Relaxed),
        format!("{:?}", init::role()),
        String::from_utf8(grandchild.stdout).unwrap(),
    )
}

// Inside a runtime, as with tokio's own main: a slot must live there too.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    if std::env::args().any(|arg| arg == "role") {
        print!("{:?}", init::role());
        return;
    }
    if std::env::var_os(FORGETFUL).is_some() {
        // In a slot or a worker this does not return.
        init::may_build().unwrap();
    }
    if init::role() == Role::Master {
        assert!(!init::is_initialised());
        assert_eq!(init::may_build(), Err(BuildRefused::NotInitialised));
    }
    let role = init::init_with(|| {
        SETUPS.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!((role, init::init()), (Role::Master, Role::Master));
    assert_eq!(SETUPS.load(Ordering::Relaxed), 1);
    assert_eq!(init::may_build(), Ok(()));

    a_slot_runs_the_setup_and_its_children_are_ordinary().await;
    a_slot_that_forgets_init_ends().await;
    a_worker_that_forgets_init_ends().await;
    println!("slot_roles: ok");
}

fn launch() -> Launch {
    Launch {
        program: Program::this_executable().unwrap(),
        env: Vec::new(),
        setup: Setup {
            place: Place {
                run: RunId::random(),
                worker: "local".into(),
                node: "here".into(),
            },
            initializer: None,
            memory_limit: None,
        },
        output: OutputLimits::default(),
    }
}

async fn a_slot_runs_the_setup_and_its_children_are_ordinary() {
    let (sender, mut events) = unbounded_channel();
    let slot = Slot::start(SlotId(1), &launch(), sender).unwrap();
    let call = describe().into_parts();
    let index = Registry::global()
        .unwrap()
        .index_of(call.spec.name)
        .unwrap();
    let mut entries = Vec::new();
    let arguments = call.arguments.unwrap();
    entry::put_task(&mut entries, TaskId(1), Attempt(1), 0, b"", &arguments).unwrap();
    slot.run(Frame {
        number: 1,
        execution: ExecutionId {
            worker: WorkerId(1),
            number: 1,
        },
        task_types: [index].into(),
        entries: entries.into(),
        count: 1,
        noted: false,
        memory: None,
    });
    loop {
        let event = tokio::time::timeout(BOUND, events.recv()).await.unwrap();
        if let Some((_, SlotEvent::Results { entries, .. })) = event {
            let result = entry::next_result(&mut entries.into_entries())
                .unwrap()
                .unwrap();
            let (setups, role, grandchild): (u32, String, String) =
                podpool_core::codec::decode(&result.outcome.unwrap()).unwrap();
            assert_eq!(setups, 1);
            assert_eq!((role.as_str(), grandchild.as_str()), ("Slot", "Master"));
            return;
        }
        assert_eq!(event.unwrap().1, SlotEvent::Ready);
    }
}

async fn a_slot_that_forgets_init_ends() {
    let (sender, mut events) = unbounded_channel();
    let forgetful = Launch {
        env: vec![(FORGETFUL.into(), "1".into())],
        ..launch()
    };
    let _slot = Slot::start(SlotId(1), &forgetful, sender).unwrap();
    let event = tokio::time::timeout(BOUND, events.recv()).await.unwrap();
    match event.unwrap().1 {
        SlotEvent::Exited { exit, tail, .. } => {
            assert_eq!(exit, Exit::Code(64));
            assert!(tail[0].contains("podpool::init()"), "{tail:?}");
        }
        other => panic!("{other:?}"),
    }
}

async fn a_worker_that_forgets_init_ends() {
    let output = tokio::process::Command::new("/proc/self/exe")
        .env(init::ROLE_VARIABLE, init::WORKER_ROLE)
        .env(FORGETFUL, "1")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(BOUND, output).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(78));
}
