//! Tests of which call is which task.

use podpool_core::shape::Fingerprint;

use super::*;

const TYPE: TypeId = TypeId(0);

fn called<'a>(key: Option<&'a str>, arguments: &[u8]) -> Called<'a> {
    Called {
        name: "clean",
        key,
        content: Content::of(arguments),
        task_type: TYPE,
        forced: false,
        identity: None,
    }
}

fn folded(task: u64, identity: Identity, content: Content, status: Status) -> Folded {
    Folded {
        task: TaskId(task),
        task_type: TYPE,
        identity,
        content,
        status,
        published: None,
        attempts: 0,
        why: Why::First,
    }
}

/// What a run remembers in which the task 7 of the key `x` is so.
fn remembering(status: Status) -> Remembered {
    let mut memory = Memory::new(Vec::new());
    let identity = Identity::keyed("clean", "x");
    memory.add(&folded(7, identity, Content::of(b"1"), status));
    assert_eq!(memory.next(), 8);
    Remembered::new(memory)
}

fn is_new(claim: Claim, expected: Why, replaced: Option<u64>) {
    let Claim::New { why, replaces, .. } = claim else {
        panic!("{claim:?}");
    };
    assert_eq!((why, replaces), (expected, replaced.map(TaskId)));
}

#[test]
fn a_call_is_what_became_of_its_task() {
    let call = called(Some("x"), b"1");
    let claim = |status| remembering(status).claim(&call, TaskId(9));
    assert_eq!(claim(Status::Done), Claim::Stored(TaskId(7)));
    is_new(claim(Status::Failed), Why::Failed, None);
    is_new(claim(Status::Cancelled), Why::Cancelled, None);
    is_new(claim(Status::Unended), Why::Interrupted, Some(7));
    let mut other = remembering(Status::Done);
    is_new(
        other.claim(&called(Some("y"), b"1"), TaskId(9)),
        Why::First,
        None,
    );
    is_new(
        other.claim(&called(None, b"1"), TaskId(10)),
        Why::First,
        None,
    );
}

#[test]
fn what_a_user_asked_for_is_asked_for_until_it_is_done() {
    let call = called(Some("x"), b"1");
    let claim = |status| {
        let mut memory = Memory::new(Vec::new());
        let identity = Identity::keyed("clean", "x");
        memory.add(&Folded {
            why: Why::Reprocessed,
            ..folded(7, identity, Content::of(b"1"), status)
        });
        Remembered::new(memory).claim(&call, TaskId(9))
    };
    is_new(claim(Status::Unended), Why::Reprocessed, Some(7));
    is_new(claim(Status::Failed), Why::Reprocessed, None);
    assert_eq!(claim(Status::Done), Claim::Stored(TaskId(7)));
}

#[test]
fn other_arguments_and_other_versions_are_noticed() {
    let (mut known, other) = (remembering(Status::Done), called(Some("x"), b"2"));
    assert_eq!(known.claim(&other, TaskId(9)), Claim::Conflict(TaskId(7)));
    let forced = Called {
        forced: true,
        ..other
    };
    is_new(known.claim(&forced, TaskId(9)), Why::Forced, None);
    let changed = Called {
        task_type: TypeId(1),
        ..called(Some("x"), b"1")
    };
    is_new(
        remembering(Status::Done).claim(&changed, TaskId(9)),
        Why::Changed,
        None,
    );
}

#[test]
fn a_task_of_this_process_is_joined_until_it_ends() {
    let mut known = Remembered::default();
    let call = called(Some("x"), b"1");
    is_new(known.claim(&call, TaskId(1)), Why::First, None);
    assert!(known.is_unended(TaskId(1)));
    assert_eq!(known.claim(&call, TaskId(2)), Claim::Joined(TaskId(1)));
    assert!(known.end(TaskId(1), Status::Done));
    assert!(!known.end(TaskId(1), Status::Done), "once");
    assert_eq!(known.claim(&call, TaskId(3)), Claim::Stored(TaskId(1)));
    assert!(!known.end(TaskId(2), Status::Done), "it was never a task");
}

#[test]
fn equal_calls_without_a_key_are_counted_from_the_first_in_each_process() {
    let call = called(None, b"1");
    let mut memory = Memory::new(Vec::new());
    for n in 0..2 {
        let identity = Identity::counted("clean", call.content, n);
        memory.add(&folded(n, identity, call.content, Status::Done));
    }
    let mut known = Remembered::new(memory);
    assert_eq!(known.claim(&call, TaskId(5)), Claim::Stored(TaskId(0)));
    assert_eq!(known.claim(&call, TaskId(6)), Claim::Stored(TaskId(1)));
    is_new(known.claim(&call, TaskId(7)), Why::First, None);
    is_new(known.claim(&call, TaskId(8)), Why::First, None);
}

#[test]
fn a_task_that_is_submitted_again_is_that_of_the_call_that_follows() {
    let call = called(None, b"1");
    let identity = Identity::counted("clean", call.content, 0);
    let mut memory = Memory::new(Vec::new());
    memory.add(&folded(3, identity, call.content, Status::Failed));
    let mut known = Remembered::new(memory);
    let again = Called {
        identity: Some(identity),
        ..call
    };
    is_new(known.claim(&again, TaskId(5)), Why::Failed, None);
    assert_eq!(known.claim(&call, TaskId(6)), Claim::Joined(TaskId(5)));
    is_new(known.claim(&call, TaskId(7)), Why::First, None);
}

#[test]
fn force_does_not_replace_a_task_that_runs() {
    let mut known = Remembered::default();
    is_new(
        known.claim(&called(Some("x"), b"1"), TaskId(1)),
        Why::First,
        None,
    );
    let forced = |arguments| Called {
        forced: true,
        ..called(Some("x"), arguments)
    };
    assert_eq!(
        known.claim(&forced(b"2"), TaskId(2)),
        Claim::Conflict(TaskId(1))
    );
    assert_eq!(
        known.claim(&forced(b"1"), TaskId(3)),
        Claim::Joined(TaskId(1))
    );
    known.end(TaskId(1), Status::Done);
    is_new(
        known.claim(&forced(b"1"), TaskId(4)),
        Why::Reprocessed,
        None,
    );
}

/// A done task may take 100 bytes of the master's memory.
#[test]
fn a_known_task_is_small() {
    assert!(size_of::<(Identity, Known)>() <= 40);
}

#[test]
fn task_types_keep_their_numbers() {
    let record = TypeRecord {
        number: TypeId(0),
        name: "old".to_owned(),
        version: None,
        fingerprint: Fingerprint([1; 16]),
        shape: String::new(),
        parameters: Vec::new(),
    };
    let mut known = Remembered::new(Memory::new(vec![record]));
    let spec = &crate::client::future::fake::TASK;
    let first = known.type_of(spec, Fingerprint([2; 16]));
    assert_eq!(first, (TypeId(1), true));
    assert_eq!(
        known.type_of(spec, Fingerprint([2; 16])),
        (TypeId(1), false)
    );
}
