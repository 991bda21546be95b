//! The Python reference measures, and leaves no process behind.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;

use podpool_benches::ppe::{Measure, Ppe};

/// Process ids whose command line holds the reference's first words.
fn running() -> std::io::Result<BTreeSet<OsString>> {
    let mut found = BTreeSet::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains("# The reference in another language") {
            found.insert(process.file_name());
        }
    }
    Ok(found)
}

#[test]
fn measures_and_leaves_no_process_behind() {
    let before = running().unwrap();
    let mut ppe = match Ppe::start() {
        Ok(ppe) => ppe,
        Err(error) => {
            println!("left out: {error:#}");
            let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!must, "CI=true: the measures must not be left out");
            return;
        }
    };
    for (measure, n) in [
        (Measure::Burst, 50),
        (Measure::Map, 250),
        (Measure::Trip, 5),
        (Measure::Load, 2),
    ] {
        let value = ppe.run(measure, n).unwrap();
        assert!(value.is_finite() && value > 0.0, "{measure:?}: {value}");
    }
    // One process and its two workers, at least: a scoreboard that runs meanwhile on this machine has further ones.
    let ours = &running().unwrap() - &before;
    assert!(ours.len() >= 3, "{ours:?}");
    drop(ppe);
    let left = &running().unwrap() & &ours;
    assert!(left.is_empty(), "left behind: {left:?}");
}
