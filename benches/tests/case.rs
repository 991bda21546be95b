//! A case prints one number in a process of its own. Any other output or end is an error that names the case.

use std::ffi::OsString;
use std::path::Path;

use podpool_benches::case::run_apart;

const PROGRAM: &str = env!("CARGO_BIN_EXE_scoreboard");

fn shell(script: &str) -> anyhow::Result<f64> {
    run_apart(Path::new("/bin/sh"), &["-c", script].map(OsString::from))
}

#[test]
fn the_scoreboard_runs_its_own_cases() {
    for arguments in [
        &["--case", "bare-burst", "--n", "500"][..],
        &["--case", "bare-trip", "--n", "20", "--pin"],
        &["--case", "bare-load", "--n", "3"],
    ] {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let value = run_apart(Path::new(PROGRAM), &arguments).unwrap();
        assert!(value.is_finite() && value > 0.0, "{arguments:?}: {value}");
    }
}

#[test]
fn anything_but_one_number_and_success_is_an_error() {
    assert_eq!(shell("echo 1.5").unwrap(), 1.5);
    for (script, told) in [
        ("true", "ended without an answer"),
        ("echo many", "printed \"many\""),
        ("echo 1; echo 2", "went on"),
        ("echo 1; exit 3", "exit status: 3"),
    ] {
        let error = format!("{:#}", shell(script).unwrap_err());
        assert!(error.contains(told), "{script}: {error}");
    }
}
