//! The house rules that a machine can keep.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without ends it"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a file, its tests apart.
const LINES: usize = 600;

/// Crates that core must not know: back-ends, their clients, and the command line.
const BACK_ENDS: [&str; 7] = [
    "kube",
    "k8s-openapi",
    "google-cloud",
    "tonic",
    "clap",
    "rusqlite",
    "object_store",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every source file of the workspace, with its text. Build directories and hidden ones are no part of it.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    open.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = read(&path);
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 50, "only {} sources were found", found.len());
    found
}

/// Fails with every file that `offends` names, and what it says.
fn refuse(rule: &str, offends: impl Fn(&Path, &str) -> Option<String>) {
    let offences: Vec<_> = sources()
        .iter()
        .filter_map(|(path, text)| {
            offends(path, text).map(|what| format!("{}: {what}", path.display()))
        })
        .collect();
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

/// Lines above the tests that stand at the end of a file.
fn own_lines(text: &str) -> usize {
    let lines: Vec<_> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    });
    tests.unwrap_or(lines.len())
}

fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn every_file_says_what_it_is() {
    refuse("a file begins with //!", |path, text| {
        // What a compile-fail test compiles is shown as a user would write it.
        let shown = path.components().any(|part| part.as_os_str() == "ui");
        (!text.starts_with("//!") && !shown).then(|| text.lines().next().unwrap_or("").to_owned())
    });
}

#[test]
fn no_file_is_too_long() {
    refuse(
        "a file has at most 600 lines beside its tests",
        |path, text| {
            let lines = own_lines(text);
            (lines > LINES && !is_test(path)).then(|| format!("{lines} lines"))
        },
    );
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    refuse(
        "foo.rs and foo/ instead of mod.rs, and a name that says what is in it",
        |path, _| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            [
                "mod.rs",
                "utils.rs",
                "util.rs",
                "common.rs",
                "helpers.rs",
                "manager.rs",
            ]
            .contains(&name.as_str())
            .then_some(name)
        },
    );
}

#[test]
fn nothing_is_put_off() {
    // Put together here, so that this file does not offend.
    let words = [
        format!("{}!(", "todo"),
        format!("{}!(", "unimplemented"),
        format!("#[{}", "ignore"),
        format!("{}:", "TODO"),
        format!("{}:", "FIXME"),
    ];
    refuse("nothing is put off or ignored", |_, text| {
        words
            .iter()
            .find(|word| text.contains(word.as_str()))
            .cloned()
    });
}

#[test]
fn moments_are_added_up_in_one_place() {
    // Left of a bare `+`, these are moments: with a long duration the sum panics.
    let moments = [
        "now",
        "Instant::now()",
        "since",
        "heard",
        "*since",
        "*at",
        "since?",
        "last",
        "until",
    ];
    refuse(
        "Instant + Duration may panic: use core's instant::after",
        |path, text| {
            let own = ["core/src", "executor/src"].iter().any(|part| {
                path.strip_prefix(root())
                    .is_ok_and(|path| path.starts_with(part))
            });
            let exempt = is_test(path) || path.iter().any(|part| part == "simulation");
            let simulation = path.ends_with("simulation.rs") || path.ends_with("fake.rs");
            if !own || exempt || simulation {
                return None;
            }
            let code = text.lines().take(own_lines(text));
            code.filter(|line| !line.trim_start().starts_with("//"))
                .find(|line| {
                    let sums = line.match_indices(" + ").map(|(at, _)| &line[..at]);
                    sums.flat_map(|left| left.rsplit([' ', '(', '|', '.', '!']).next())
                        .any(|left| moments.contains(&left) || left == ")")
                        || line.contains("Instant::now() + ")
                })
                .map(|line| line.trim().to_owned())
        },
    );
}

#[test]
fn core_knows_no_back_end() {
    let manifest = read(&root().join("core/Cargo.toml"));
    for line in manifest.lines() {
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        let known = BACK_ENDS
            .iter()
            .find(|back_end| name.starts_with(**back_end));
        assert!(known.is_none(), "core/Cargo.toml depends on {name}");
    }
}

#[test]
fn every_example_is_listed() {
    let mut listed = read(&root().join("README.md"));
    listed.push_str(&fs::read_to_string(root().join("examples/README.md")).unwrap_or_default());
    let manifest = read(&root().join("examples/Cargo.toml"));
    let mut names: Vec<String> = manifest
        .lines()
        .skip_while(|line| *line != "[[example]]")
        .filter_map(|line| line.strip_prefix("name = \""))
        .map(|name| name.trim_end_matches('"').to_owned())
        .collect();
    for directory in ["examples", "examples/examples"] {
        let Ok(entries) = fs::read_dir(root().join(directory)) else {
            continue;
        };
        let files = entries.filter_map(|entry| {
            let name = entry.ok()?.file_name().to_string_lossy().into_owned();
            name.strip_suffix(".rs").map(ToOwned::to_owned)
        });
        names.extend(files);
    }
    assert!(!names.is_empty(), "no examples were found");
    for name in names {
        assert!(listed.contains(&name), "no README lists the example {name}");
    }
}

#[test]
fn every_row_of_the_suite_is_run() {
    let suite = root().join("tests/src/suite");
    let mut run = read(&root().join("tests/src/suite.rs"));
    run.push_str(&read(&root().join("tests/tests/executor_losing.rs")));
    for entry in fs::read_dir(suite).unwrap() {
        let path = entry.unwrap().path();
        for line in read(&path).lines() {
            let row = line
                .strip_prefix("pub async fn ")
                .and_then(|rest| rest.split('(').next());
            if let Some(row) = row {
                let called = run.contains(&format!(" {row}("));
                assert!(called, "{} is never run: {}", row, path.display());
            }
        }
    }
}
