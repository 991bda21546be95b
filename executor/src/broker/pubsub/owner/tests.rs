//! Tests of which run a message belongs to.

use podpool_core::id::RunName;

use super::*;

fn owner(run: &str, created: u64) -> Owner {
    let created = UNIX_EPOCH + Duration::from_millis(created);
    Owner::new(RunId::new(run).unwrap(), created)
}

fn attributes(owner: &Owner) -> HashMap<String, String> {
    let mut attributes = HashMap::new();
    owner.write(&mut attributes);
    attributes
}

#[test]
fn the_older_run_is_less_and_a_tie_is_broken() {
    assert!(owner("b", 1) < owner("a", 2));
    assert!(owner("a", 1) < owner("b", 1));
}

#[test]
fn messages_of_other_runs_alone_are_reported_and_not_read() {
    let (met, mut told) = mpsc::unbounded_channel();
    let own = Ownership::new(owner("ours", 5), met);
    assert_eq!(own.judge(&HashMap::new()), Standing::Own);
    assert_eq!(own.judge(&attributes(&owner("ours", 5))), Standing::Own);
    let renewed = attributes(&owner("ours", 9));
    assert_eq!(own.judge(&renewed), Standing::Own, "a later master's");
    assert!(told.try_recv().is_err());
    let theirs = owner("theirs", 3);
    let later = owner("later", 7);
    assert_eq!(own.judge(&attributes(&later)), Standing::Younger);
    assert_eq!(told.try_recv(), Ok(later.clone()));
    assert_eq!(own.judge(&own.word(&later)), Standing::Report);
    assert_eq!(told.try_recv(), Ok(later));
    assert_eq!(own.older(), None);
    assert_eq!(own.judge(&attributes(&theirs)), Standing::Older);
    assert_eq!(told.try_recv(), Ok(theirs.clone()));
    assert_eq!(own.clone().older(), Some(&theirs));
}

#[test]
fn a_workers_report_of_an_older_run_ends_this_one_too() {
    let (met, mut told) = mpsc::unbounded_channel();
    let own = Ownership::new(owner("ours", 5), met);
    let theirs = owner("theirs", 3);
    assert_eq!(own.judge(&own.word(&theirs)), Standing::Report);
    assert_eq!(told.try_recv(), Ok(theirs));
    assert!(own.gives_way());
}

#[test]
fn two_runs_of_one_name_that_began_together_are_distinguished() {
    let name = RunName::new("nightly").unwrap();
    let [one, other] = [&name; 2].map(|name| Owner::new(RunId::of(name), UNIX_EPOCH));
    let (met, mut told) = mpsc::unbounded_channel();
    let own = Ownership::new(one.clone(), met);
    assert_eq!(own.judge(&attributes(&one)), Standing::Own);
    let other_standing = if other < one {
        Standing::Older
    } else {
        Standing::Younger
    };
    assert_eq!(own.judge(&attributes(&other)), other_standing);
    assert_eq!(told.try_recv(), Ok(other.clone()));
    assert_ne!(one < other, other < one, "one of them is the younger");
}

#[test]
fn a_report_to_another_master_is_another_runs_message() {
    let (met, mut told) = mpsc::unbounded_channel();
    let (ours, theirs) = (owner("ours", 5), owner("theirs", 3));
    let word = Ownership::new(theirs.clone(), met.clone()).word(&ours);
    assert_eq!(Ownership::new(ours, met).judge(&word), Standing::Older);
    assert_eq!(told.try_recv(), Ok(theirs));
}

#[test]
fn a_message_with_an_unreadable_owner_is_passed_to_the_reader() {
    for (run, created) in [("A B", "1"), ("a", "yesterday"), ("", "1")] {
        let pairs = [(RUN, run), (CREATED, created)];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (met, _told) = mpsc::unbounded_channel();
        let own = Ownership::new(owner("ours", 5), met);
        assert_eq!(own.judge(&pairs.into()), Standing::Own, "{run} {created}");
    }
}
