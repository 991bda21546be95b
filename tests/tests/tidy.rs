//! The rules of this repository that a program can check.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without ends it"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The largest number of lines of a file, without its tests.
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::canonicalize(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every source file of the workspace, by its path below the root, with its text. Build directories and hidden ones
/// are no part of it.
fn sources() -> Vec<(PathBuf, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
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
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 50, "only {} sources were found", found.len());
    found
}

/// What a file does against a rule, by its path below the root and its text.
type Rule = fn(&Path, &str) -> Option<String>;

/// Fails with every file that offends, and the reason.
fn refuse(rule: &str, offends: Rule) {
    let offences: Vec<_> = sources()
        .iter()
        .filter_map(|(path, text)| {
            offends(path, text).map(|what| format!("{}: {what}", path.display()))
        })
        .collect();
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

/// Lines beside the modules of tests.
fn own_lines(text: &str) -> usize {
    let (mut own, mut tests) = (0, false);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let module = |next: &&str| next.starts_with("mod ") && next.ends_with('{');
        tests |= line == "#[cfg(test)]" && lines.peek().is_some_and(module);
        own += usize::from(!tests);
        tests &= line != "}";
    }
    own
}

/// Whether a file holds tests alone. The path must be below the root: above it anything may be called "tests".
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}

fn says_nothing_of_itself(path: &Path, text: &str) -> Option<String> {
    // A program of a compile-fail test is written as a user would write it, so the rule does not apply there.
    let shown = path.components().any(|part| part.as_os_str() == "ui");
    (!text.starts_with("//!") && !shown).then(|| text.lines().next().unwrap_or("").to_owned())
}

fn is_too_long(path: &Path, text: &str) -> Option<String> {
    let lines = own_lines(text);
    (lines > LINES && !is_test(path)).then(|| format!("{lines} lines"))
}

fn is_named_after_nothing(path: &Path, _: &str) -> Option<String> {
    const NAMES: [&str; 6] = ["mod", "utils", "util", "common", "helpers", "manager"];
    let name = path.file_stem()?.to_string_lossy().into_owned();
    NAMES.contains(&name.as_str()).then_some(name)
}

/// Put together here, so that this file does not offend.
fn words_that_put_off() -> [String; 5] {
    [
        format!("{}!(", "todo"),
        format!("{}!(", "unimplemented"),
        format!("#[{}", "ignore"),
        format!("{}:", "TODO"),
        format!("{}:", "FIXME"),
    ]
}

fn puts_off(_: &Path, text: &str) -> Option<String> {
    let mut words = words_that_put_off().into_iter();
    words.find(|word| text.contains(word))
}

#[test]
fn every_file_states_what_it_is() {
    refuse("a file begins with //!", says_nothing_of_itself);
}

#[test]
fn no_file_is_too_long() {
    refuse("a file has at most 600 lines beside its tests", is_too_long);
}

#[test]
fn no_file_has_a_meaningless_name() {
    let rule = "foo.rs and foo/ instead of mod.rs, and a name that says what is in it";
    refuse(rule, is_named_after_nothing);
}

#[test]
fn no_work_is_postponed() {
    refuse("nothing is put off or ignored", puts_off);
}

/// A rule, the path of a file, and its text.
type Judged = (Rule, &'static str, String);

fn long(lines: usize) -> String {
    format!("//! Long.\n{}", "fn f() {}\n".repeat(lines - 1))
}

fn tests_only() -> String {
    let lines = "    //\n".repeat(LINES);
    format!("#[cfg(test)]\nmod tests {{\n{lines}}}\n")
}

fn bad_files() -> Vec<Judged> {
    let too_long = format!("{}{}fn g() {{}}\n", long(LINES), tests_only());
    let bad: [(Rule, &str, &str); 8] = [
        (says_nothing_of_itself, "core/src/a.rs", "fn f() {}"),
        (says_nothing_of_itself, "core/src/a.rs", ""),
        (is_too_long, "core/src/a.rs", &long(LINES + 1)),
        (is_too_long, "core/src/a.rs", &too_long),
        (is_named_after_nothing, "core/src/a/mod.rs", "//! A."),
        (is_named_after_nothing, "tests/src/helpers.rs", "//! A."),
        (adds_to_a_moment, "core/src/a.rs", "let end = now + time;"),
        (
            adds_to_a_moment,
            "executor/src/a.rs",
            "f(Instant::now() + time)",
        ),
    ];
    let put_off = words_that_put_off().map(|word| format!("//! Off.\n{word}"));
    let put_off = put_off.map(|text| (puts_off as Rule, "core/src/a.rs", text));
    let bad = bad.map(|(rule, path, text)| (rule, path, text.to_owned()));
    bad.into_iter().chain(put_off).collect()
}

fn good_files() -> Vec<Judged> {
    let long_tests = format!("{}{}", long(LINES), tests_only());
    let good: [(Rule, &str, &str); 8] = [
        (says_nothing_of_itself, "core/src/a.rs", "//! A."),
        (is_too_long, "core/src/a.rs", &long_tests),
        (is_too_long, "tests/tests/a.rs", &long(LINES + 1)),
        (is_named_after_nothing, "core/src/a.rs", "//! A."),
        (puts_off, "core/src/a.rs", "//! A."),
        (
            adds_to_a_moment,
            "core/src/a.rs",
            "let end = after(now, time);",
        ),
        (adds_to_a_moment, "tests/src/a.rs", "let end = now + time;"),
        (adds_to_a_moment, "core/src/a.rs", "let end = now + BOUND;"),
    ];
    let good = good.map(|(rule, path, text)| (rule, path, text.to_owned()));
    good.into()
}

/// Each rule must refuse its bad files: a rule whose pattern matches nothing would pass unnoticed.
#[test]
fn the_rules_refuse_bad_files_and_no_others() {
    for (rule, path, text) in bad_files() {
        let first = text.lines().next();
        assert!(
            rule(Path::new(path), &text).is_some(),
            "{path}: {first:?} …"
        );
    }
    for (rule, path, text) in good_files() {
        assert_eq!(rule(Path::new(path), &text), None, "{path}");
    }
    // The workspace's own files are judged by their place in it, wherever it lies.
    assert!(sources().iter().all(|(path, _)| path.is_relative()));
    assert!(sources().iter().any(|(path, _)| !is_test(path)));
}

/// The back-end that a line of a manifest names, as a dependency or as the package behind one.
fn back_end(line: &str) -> Option<&'static str> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    words.find_map(|word| {
        BACK_ENDS
            .into_iter()
            .find(|back_end| word.starts_with(back_end))
    })
}

/// Left of a bare `+`, these are moments: with a long duration the sum panics.
const MOMENTS: [&str; 8] = [
    "now", "since", "heard", "*since", "*at", "since?", "last", "until",
];

fn adds_to_a_moment(path: &Path, text: &str) -> Option<String> {
    let own = path.starts_with("core/src") || path.starts_with("executor/src");
    let test = is_test(path)
        || path.iter().any(|part| part == "simulation")
        || path.ends_with("simulation.rs")
        || path.ends_with("fake.rs");
    if !own || test {
        return None;
    }
    let adds = |line: &&str| {
        line.match_indices(" + ").any(|(at, sign)| {
            let (left, right) = (&line[..at], &line[at + sign.len()..]);
            let moment = left.rsplit([' ', '(', '|', '.', '!']).next();
            // A constant is no user's, and short.
            let word = right
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next();
            let constant = word.is_some_and(|word| word == word.to_uppercase());
            let sums =
                left.ends_with("Instant::now()") || moment.is_some_and(|m| MOMENTS.contains(&m));
            sums && !constant
        })
    };
    let code = text.lines().take(own_lines(text));
    let mut code = code.filter(|line| !line.trim_start().starts_with("//"));
    code.find(adds).map(|line| line.trim().to_owned())
}

#[test]
fn moments_are_added_up_in_one_place() {
    refuse(
        "Instant + Duration may panic: use core's instant::after",
        adds_to_a_moment,
    );
    let bare = "let end = now + wait;";
    let found = adds_to_a_moment(Path::new("core/src/x.rs"), bare);
    assert_eq!(found.as_deref(), Some(bare), "the check looks");
}

#[test]
fn core_names_no_back_end() {
    for bad in [
        "kube = \"5\"",
        "tonic.workspace = true",
        "[dependencies.clap]",
        "store = { package = \"object_store\", version = \"1\" }",
        "google-cloud-pubsub.workspace = true",
    ] {
        assert!(back_end(bad).is_some(), "{bad} is not refused");
    }
    assert_eq!(back_end("bytes = \"1\" # as kube has it"), None);
    for manifest in ["core/Cargo.toml", "core/macros/Cargo.toml"] {
        let text = read(&root().join(manifest));
        assert!(text.contains("[dependencies]"), "{manifest} names none");
        for line in text.lines() {
            assert_eq!(back_end(line), None, "{manifest}: {line}");
        }
    }
}

/// The variables that podpool reads, those that users set and those of its own processes.
fn variables() -> (Vec<String>, Vec<String>) {
    let source = read(&root().join("executor/src/variables.rs"));
    let (_, list) = source.split_once("const KNOWN: &[&str] = &[").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    let (users, own) = list.split_once("// Of podpool's own processes.").unwrap();
    let names = |part: &str| {
        let quoted = part.split('"').skip(1).step_by(2);
        quoted.map(|name| format!("PODPOOL_{name}")).collect()
    };
    (names(users), names(own))
}

#[test]
fn every_variable_is_known_and_the_readme_has_those_that_users_set() {
    let (users, own) = variables();
    let readme = read(&root().join("README.md"));
    for name in &users {
        let row = |line: &&str| line.starts_with('|') && line.contains(&format!("`{name}`"));
        assert!(
            readme.lines().any(|line| row(&line)),
            "{name} is in no table"
        );
    }
    let rows = readme
        .lines()
        .filter(|line| line.starts_with("| `PODPOOL_"));
    let listed = rows.filter_map(|row| row.split('`').nth(1));
    for name in listed {
        assert!(
            users.iter().any(|user| user == name),
            "no code reads {name}"
        );
    }
    for (path, text) in sources() {
        let library = path.starts_with("executor/src") || path.starts_with("core/src");
        if !library || is_test(&path) {
            continue;
        }
        let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
        let literals = before_tests.split('"').filter(|literal| {
            let name = literal.strip_prefix("PODPOOL_").unwrap_or_default();
            !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        });
        for name in literals {
            let known = users.iter().chain(&own).any(|known| known == name);
            let whole = name.ends_with('_') || known;
            assert!(whole, "{name}, in {}, is not in KNOWN", path.display());
        }
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
        let cell = format!("| `{name}` |");
        assert!(listed.contains(&cell), "no README lists the example {name}");
    }
}

/// The rows of a topic that a file stamps out: what stands between the topic's name and the end of its block.
fn rows_run(text: &str, topic: &str) -> Vec<String> {
    let mut rows = Vec::new();
    let start = format!("; {topic};");
    for block in text.split(&start).skip(1) {
        let block = block.split('}').next().unwrap_or_default();
        let names = block.lines().filter_map(|line| line.trim().split_once('('));
        rows.extend(names.map(|(name, _)| name.to_owned()));
    }
    rows
}

#[test]
fn every_row_of_the_suite_is_run() {
    let text = "rows! { $beds; one;\n a();\n b(Order);\n }\n rows! { $beds; two;\n c();\n }";
    assert_eq!(rows_run(text, "one"), ["a", "b"]);
    assert_eq!(rows_run(text, "two"), ["c"]);
    let mut run = read(&root().join("tests/src/suite.rs"));
    run.push_str(&read(&root().join("tests/tests/executor_losing.rs")));
    let mut found = 0;
    for entry in fs::read_dir(root().join("tests/src/suite")).unwrap() {
        let path = entry.unwrap().path();
        let topic = path.file_stem().unwrap().to_string_lossy().into_owned();
        let runs = rows_run(&run, &topic);
        for line in read(&path).lines() {
            let row = line
                .strip_prefix("pub async fn ")
                .and_then(|rest| rest.split('(').next());
            if let Some(row) = row {
                found += 1;
                let called = runs.iter().any(|name| name == row);
                assert!(called, "{topic}::{row} is never run");
            }
        }
    }
    assert!(found > 100, "only {found} rows were found");
}

/// Runs a script of bash with functions of `.ci/run`, `scratch` being an empty directory; returns whether the script
/// succeeded, and its output, errors last.
fn with_ci_functions(names: &[&str], script: &str) -> (bool, String) {
    let source = read(&root().join(".ci/run"));
    let mut text =
        "set -euo pipefail\nscratch=$(mktemp -d)\ntrap 'rm -rf \"$scratch\"' EXIT\n".to_owned();
    for name in names {
        let start = format!("\n{name}() {{\n");
        let at = source
            .find(&start)
            .unwrap_or_else(|| panic!(".ci/run has no {name}"));
        let body = &source[at..];
        let end = body.find("\n}\n").unwrap();
        text.push_str(&body[..end + 3]);
    }
    text.push_str(script);
    let output = Command::new("bash").args(["-c", &text]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn what_failed_once_is_named_at_the_end() {
    let functions = ["first_try", "flaky_lines", "twice", "on_cluster"];
    let suites = "
        suites() {
            if [[ ! -e $scratch/$1 ]]; then
                touch \"$scratch/$1\"
                [[ $1 == well ]] && return
                [[ $1 == named ]] && printf 'test a::b ... FAILED\\ntest c ... ok\\ntest d ... FAILED\\n'
                return 1
            fi
            [[ $1 != worse ]]
        }
    ";
    let (passed, said) = with_ci_functions(
        &functions,
        &format!("{suites}\nexec 2>&1\non_cluster well named silent\nflaky_lines"),
    );
    let end = "\n\nflaky: named::a::b\nflaky: named::d\nflaky: silent\n";
    assert!(passed && said.ends_with(end), "{said}");
    let (passed, said) = with_ci_functions(
        &functions,
        &format!("{suites}\ntrap flaky_lines EXIT\non_cluster silent worse\necho never"),
    );
    assert!(!passed && !said.contains("never"), "{said}");
    assert!(said.contains("flaky: silent\nflaky: worse\n"), "{said}");
    let (passed, said) = with_ci_functions(
        &functions,
        &format!("{suites}\non_cluster well\nflaky_lines"),
    );
    assert!(passed && !said.contains("flaky"), "{said}");
}

#[test]
fn a_row_that_was_not_measured_fails_the_scoreboard() {
    let board = |rows: &str| {
        format!(
            "list() {{ printf 'trip\\ntrip-python\\n'; }}\nprintf '%s\\n' {rows} >\"$scratch/scoreboard\"\nevery_row list\n"
        )
    };
    let trip = "'| round trip (`trip`)          | 8.0 µs |'";
    let python = "'| against Python (`trip-python`) | 9.0 µs |'";
    let absent = "'| against Python (`trip-python`) | absent |'";
    let run = |rows: &str| with_ci_functions(&["every_row"], &board(rows));
    let (passed, said) = run(&format!("{trip} {python}"));
    assert!(passed && said.is_empty(), "{said}");
    for rows in [format!("{trip} {absent}"), trip.to_owned()] {
        let (passed, said) = run(&rows);
        assert!(!passed, "{rows}");
        assert!(
            said.contains("the row trip-python was not measured"),
            "{said}"
        );
    }
    let (passed, _) = with_ci_functions(&["every_row"], "list() { return 3; }\nevery_row list\n");
    assert!(!passed, "a list that cannot be had");
}
