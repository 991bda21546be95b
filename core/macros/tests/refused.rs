//! The errors of what the attributes refuse: `tests/refused/*.stderr` hold the expected texts.
//!
//! `rustc` compiles each file by itself, with the libraries that cargo built for this very test: no dependency is
//! built twice. `PODPOOL_REFUSED=write cargo test -p podpool-macros --test refused` writes the answers down anew.

use std::env::consts::DLL_EXTENSION;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Longest time that a file of a few lines may take.
const BOUND: Duration = Duration::from_secs(25);

/// A test for each file.
macro_rules! refused {
    ($($name:ident;)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                judge(stringify!($name)).await;
            }
        )+

        #[test]
        fn no_file_is_left_out() {
            let mut files: Vec<_> = fs::read_dir(manifest().join("tests/refused"))
                .expect("the directory of the files")
                .map(|entry| entry.expect("a file").path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
                .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
                .collect();
            files.sort();
            assert_eq!(files, [$(stringify!($name)),+]);
        }
    };
}

refused! {
    bounds;
    main_arguments;
    main_options;
    main_runtime;
    options;
    signatures;
    skip_types;
    skips;
    types;
}

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo compiled our libraries, so that the compiler finds their sources by the same relative paths.
fn workspace() -> PathBuf {
    manifest().join("../..")
}

/// Compiles a file, and compares the compiler's output with the expected text.
async fn judge(name: &str) {
    let said = compile(name).await;
    let path = manifest().join(format!("tests/refused/{name}.stderr"));
    if std::env::var_os("PODPOOL_REFUSED").is_some_and(|wish| wish == "write") {
        fs::write(&path, &said).expect("a file to write to");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        said == expected,
        "tests/refused/{name}.rs is refused with another text than expected:\n{}",
        difference(&expected, &said)
    );
}

/// The lines that only one of the two has.
fn difference(expected: &str, said: &str) -> String {
    let without = |text: &str, other: &str, mark: char| -> String {
        let lines = text.lines();
        let only = lines.filter(|line| !other.lines().any(|its| its == *line));
        only.map(|line| format!("{mark} {line}\n")).collect()
    };
    let missing = without(expected, said, '-');
    missing + &without(said, expected, '+') + "\nall that was said:\n" + said
}

/// All messages of the compiler about a file, as shown on a terminal, without the parts that differ between machines.
async fn compile(name: &str) -> String {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("refused-{name}.rmeta"));
    let libraries = libraries();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = tokio::process::Command::new(rustc);
    command
        .current_dir(workspace())
        .arg(format!("core/macros/tests/refused/{name}.rs"))
        .args([
            "--edition=2024",
            "--emit=metadata",
            "--verbose",
            "-Adead_code",
        ])
        .args(["--error-format=json", "--diagnostic-width=140", "-o"])
        .arg(out)
        .kill_on_drop(true);
    for (library, ending) in [("podpool_core", "rlib"), ("podpool_macros", DLL_EXTENSION)] {
        let mut file = OsString::from(format!("--extern={library}="));
        file.push(newest(&libraries, &format!("lib{library}-"), ending));
        command.arg(file);
    }
    for directory in &libraries {
        command.arg("-L").arg(directory);
    }
    let output = tokio::time::timeout(BOUND, command.output()).await;
    let output = output.expect("an answer in time").expect("a compiler");
    let said = String::from_utf8(output.stderr).expect("words");
    assert!(!output.status.success(), "it is not refused: {said}");
    let words: Vec<_> = said.lines().filter_map(rendered).collect();
    let words: Vec<_> = words.iter().map(|words| Shown::of(words).tidy()).collect();
    words.join("\n")
}

/// Where cargo keeps this test's libraries. With `--target`, macros are in the host's directory.
fn libraries() -> Vec<PathBuf> {
    let program = std::env::current_exe().expect("the name of this program");
    let own = program.parent().expect("a directory");
    let profile = own.parent().and_then(Path::file_name).expect("a profile");
    let host = own.ancestors().nth(3).map(|target| target.join(profile));
    let host = host.map(|profile| profile.join("deps"));
    let other = host.filter(|host| host != own && host.is_dir());
    [own.to_owned()].into_iter().chain(other).collect()
}

/// The file that was built last. Older ones were built from older sources or with other features; that of this very
/// test was built, or found to be up to date, a moment ago.
fn newest(directories: &[PathBuf], start: &str, ending: &str) -> PathBuf {
    let entries = directories
        .iter()
        .filter_map(|path| fs::read_dir(path).ok());
    let fitting = entries.flatten().flatten().filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(start) && name.ends_with(ending)
    });
    let built = |path: &PathBuf| {
        let built = path.metadata().and_then(|metadata| metadata.modified());
        built.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    fitting
        .map(|entry| entry.path())
        .max_by_key(built)
        .unwrap_or_else(|| panic!("there is no {start}*.{ending} in {directories:?}"))
}

/// A message of the compiler about the file; not the count of errors in the end.
fn rendered(line: &str) -> Option<String> {
    let message: serde_json::Value = serde_json::from_str(line).expect("a message in JSON");
    let spans = message["spans"].as_array()?;
    (!spans.is_empty()).then(|| message["rendered"].as_str().map(ToOwned::to_owned))?
}

/// How the source lines that follow an arrow are treated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The file that is refused: shown with its numbers.
    Own,
    /// Our libraries: shown without numbers, which change with every edit.
    Workspace,
    /// The standard library: whether its source is there depends on the machine.
    Standard,
}

/// A message as the compiler shows it: source lines behind a gutter of line numbers.
struct Shown<'a> {
    lines: Vec<&'a str>,
    /// Width of the numbers.
    gutter: usize,
}

impl<'a> Shown<'a> {
    fn of(words: &'a str) -> Self {
        let lines: Vec<_> = words.trim_end().lines().collect();
        let gutter = lines.iter().find_map(|line| line.find("--> "));
        Self {
            lines,
            gutter: gutter.expect("an arrow to the source"),
        }
    }

    fn tidy(&self) -> String {
        let mut place = Place::Own;
        let mut kept = Vec::new();
        for line in &self.lines {
            if let Some((arrow, path)) = self.arrow(line) {
                let shown;
                (place, shown) = settle(path);
                kept.push(format!("{arrow}{shown}"));
            } else if !self.is_source(line) || place == Place::Own {
                kept.push((*line).to_owned());
            } else if place == Place::Workspace {
                kept.push(" ".repeat(self.gutter) + &line[self.gutter..]);
            }
        }
        // The longest number may have been one of those that went.
        let number = |line: &String| {
            let digits = line.trim_start().bytes().take_while(u8::is_ascii_digit);
            self.is_source(line).then_some(digits.count())
        };
        let widest = kept.iter().filter_map(number).max().unwrap_or(0);
        let surplus = " ".repeat(self.gutter - widest.clamp(1, self.gutter));
        let narrow = |line: String| {
            let rest = line.strip_prefix(&surplus);
            format!("{}\n", rest.unwrap_or(&line))
        };
        kept.into_iter().map(narrow).collect()
    }

    /// The arrow of a line that points to a place, and the place.
    fn arrow<'l>(&self, line: &'l str) -> Option<(&'l str, &'l str)> {
        let (start, rest) = line.split_at_checked(self.gutter)?;
        let points = rest.starts_with("--> ") || rest.starts_with("::: ");
        (start.trim().is_empty() && points).then(|| line.split_at(self.gutter + 4))
    }

    /// Whether a line shows source, or marks below it.
    fn is_source(&self, line: &str) -> bool {
        let Some((number, rest)) = line.split_at_checked(self.gutter) else {
            return false;
        };
        number.bytes().all(|b| b == b' ' || b.is_ascii_digit()) && rest.starts_with(" |")
    }
}

/// The kinds of a place, and the text of each that is the same on every machine.
fn settle(path: &str) -> (Place, String) {
    let file = path.split(':').next().unwrap_or(path);
    if let Some(own) = path.strip_prefix("core/macros/tests/") {
        (Place::Own, format!("tests/{own}"))
    } else if let Some((_, inside)) = file.split_once("/library/") {
        (Place::Standard, format!("$RUST/{inside}"))
    } else {
        (Place::Workspace, format!("$WORKSPACE/{file}"))
    }
}
