//! How slots start: initializers, other programs, other tasks.

use super::*;

fn initializer<T>(call: Call<T>) -> Setup {
    let parts = call.into_parts();
    let index = Registry::global()
        .unwrap()
        .index_of(parts.spec.name)
        .unwrap();
    Setup {
        initializer: Some((index, Bytes::from(parts.arguments.unwrap()))),
        ..setup()
    }
}

#[tokio::test]
async fn an_initializer_runs_first_and_its_failure_ends_the_slot() {
    for program in [process(), Program::InProcess] {
        let mut rig = Rig::ready(program.clone(), initializer(tasks::prints("me".into()))).await;
        assert_eq!(rig.one(1, tasks::noop(1)).await, 1);
        assert_eq!(rig.printed.is_empty(), program == Program::InProcess);
        let mut rig = Rig::start(program, initializer(tasks::refuses()));
        rig.run(1, [tasks::noop(1)]);
        match rig.next().await {
            SlotEvent::SetupFailed(failure) => {
                assert_eq!(failure.message, "this slot is not to be")
            }
            other => panic!("{other:?}"),
        }
        assert_ne!(rig.ended().await.exit, Exit::Code(0));
    }
}

#[tokio::test]
async fn a_program_that_is_no_slot_ends_and_says_what_it_printed() {
    let program = Program::Process {
        path: "/bin/sh".into(),
        name: None,
        args: ["-c", "echo what is this; exit 5"].map(Into::into).into(),
    };
    let mut rig = Rig::start(program, setup());
    let ended = rig.ended().await;
    assert_eq!((ended.exit, ended.running), (Exit::Code(5), None));
    assert_eq!(ended.tail, ["what is this"]);
    let missing = Launch {
        program: Program::Process {
            path: "/no/such/program".into(),
            name: None,
            args: Vec::new(),
        },
        env: Vec::new(),
        setup: setup(),
        output: OutputLimits::default(),
    };
    let (sender, _events) = unbounded_channel();
    let error = Slot::start(SlotId(7), &missing, sender).unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

#[tokio::test]
async fn a_slot_with_other_tasks_refuses_to_begin() {
    let mut rig = Rig::ready(process(), setup()).await;
    assert_eq!(rig.one(1, tasks::changes(tasks::Changed(5))).await, 5);
    let mut rig = Rig::start_with(process(), setup(), vec![(OTHER.into(), "1".into())]);
    match rig.next().await {
        SlotEvent::SetupFailed(failure) => {
            assert_eq!(failure.cause, Cause::Broken);
            assert!(failure.message.contains("other tasks"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.ended().await.exit, Exit::Code(65));
}
