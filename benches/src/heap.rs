//! The program that counts live heap. Counting slows every allocation down, so it is a program of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

const NAME: &str = "pending-heap";

/// The path of the program. Under `cargo run` it is built first, for cargo builds one program of a package at a time
/// and an old one would answer for code that is gone; cargo says where it lies, which depends on its settings. Else it
/// lies beside this one.
///
/// # Errors
/// The program cannot be built, or is missing.
pub fn program() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("the path of this program is unknown")?;
    if let (Some(cargo), Some(package)) = (
        std::env::var_os("CARGO"),
        std::env::var_os("CARGO_MANIFEST_DIR"),
    ) {
        return build(&cargo, Path::new(&package), &this);
    }
    let program = this.with_file_name(NAME);
    if !program.exists() {
        bail!(
            "{} is missing: cargo build --release -p podpool-benches --bins",
            program.display()
        );
    }
    Ok(program)
}

/// Builds the program as `this` was built. The current directory stays: settings of cargo may be relative to it.
fn build(cargo: &OsStr, package: &Path, this: &Path) -> anyhow::Result<PathBuf> {
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--quiet",
            "--message-format=json-render-diagnostics",
        ])
        .args(["--bin", NAME, "--profile", profile, "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .stderr(Stdio::inherit());
    if cfg!(feature = "ledger") {
        command.args(["--features", "ledger"]);
    }
    if let Some(target) = target_directory(this) {
        // The same target directory, so that dependencies which are built already are not built again.
        command.arg("--target-dir").arg(target);
    }
    let output = command.output().context("cargo cannot be started")?;
    if !output.status.success() {
        bail!("cargo could not build {NAME}: {}", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = messages.lines().find_map(executable);
    built.with_context(|| format!("cargo built {NAME}, but did not say where"))
}

/// The target directory that a program lies in, as DIRECTORY/PROFILE/PROGRAM. Cargo marks it.
fn target_directory(program: &Path) -> Option<&Path> {
    let target = program.parent()?.parent()?;
    target.join("CACHEDIR.TAG").exists().then_some(target)
}

/// The program's path, if this message contains it.
fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let ours = message["target"]["name"] == NAME;
    let path = message["executable"].as_str().filter(|_| ours)?;
    Some(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_reports_the_path_of_the_program() {
        let artifact = r#"{"reason":"compiler-artifact","target":{"name":"pending-heap","kind":["bin"]},"executable":"/t/release/pending-heap"}"#;
        assert_eq!(
            executable(artifact).unwrap(),
            Path::new("/t/release/pending-heap")
        );
        for other in [
            r#"{"reason":"compiler-artifact","target":{"name":"podpool"},"executable":null}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"scoreboard"},"executable":"/t/x"}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "",
        ] {
            assert_eq!(executable(other), None, "{other}");
        }
    }

    #[test]
    fn a_target_directory_is_known_by_its_mark() {
        let this = std::env::current_exe().unwrap();
        // The executable of a test is in `deps`, one directory deeper than a program.
        let target = target_directory(this.parent().unwrap()).unwrap();
        assert!(this.starts_with(target));
        assert_eq!(
            target_directory(Path::new("/nowhere/release/scoreboard")),
            None
        );
    }
}
