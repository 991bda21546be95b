//! Tests of the forms of identifiers.

use std::collections::HashSet;

use super::*;

#[test]
fn run_ids_are_checked() {
    for good in ["a", "backfill-2026-11", &"x".repeat(MAX_RUN_ID)] {
        assert_eq!(RunId::new(good).unwrap().as_str(), good);
    }
    for bad in ["", "-a", "a-", "A", "a b", "ü", &"x".repeat(MAX_RUN_ID + 1)] {
        assert!(RunId::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn names_may_be_as_long_as_a_label() {
    for good in ["a", "nightly", &"x".repeat(MAX_RUN_NAME)] {
        assert_eq!(RunName::new(good).unwrap().as_str(), good);
    }
    for bad in [
        "",
        "-a",
        "a-",
        "A",
        "a b",
        "ü",
        &"x".repeat(MAX_RUN_NAME + 1),
    ] {
        assert!(RunName::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_id_begins_with_the_name_and_is_never_drawn_twice() {
    let name = RunName::new("nightly").unwrap();
    let ids: HashSet<RunId> = (0..10_000).map(|_| RunId::of(&name)).collect();
    assert_eq!(ids.len(), 10_000);
    for id in &ids {
        assert_eq!(RunId::new(id.as_str()).as_ref(), Ok(id));
        let drawn = id.as_str().strip_prefix("nightly-").unwrap();
        assert_eq!(drawn.len(), DRAWN);
    }
    // Every place of the twelve takes every one of the 32 characters.
    for place in 0..DRAWN {
        let drawn = |id: &RunId| id.as_str().as_bytes()["nightly-".len() + place];
        assert_eq!(ids.iter().map(drawn).collect::<HashSet<_>>().len(), 32);
    }
    assert!(RunId::random().as_str().starts_with("run-"));
    assert_ne!(RunId::random(), RunId::random());
}

#[test]
fn a_long_name_is_cut_and_the_id_stays_sound() {
    let long = RunName::new(&"x".repeat(MAX_RUN_NAME)).unwrap();
    let id = RunId::of(&long);
    assert_eq!(id.as_str().len(), MAX_RUN_ID);
    assert_eq!(RunId::new(id.as_str()).as_ref(), Ok(&id));
    // Cut right behind a hyphen: there is one, not two.
    let hyphens = RunName::new(&format!("{}--y", "x".repeat(25))).unwrap();
    let id = RunId::of(&hyphens);
    assert_eq!(id.as_str().len(), 25 + 1 + DRAWN, "{id}");
    assert_eq!(RunId::new(id.as_str()).as_ref(), Ok(&id));
}
