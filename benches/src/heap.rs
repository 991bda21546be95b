//! The program that counts live heap. Counting slows every allocation down, so it is a program of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

const NAME: &str = "pending-heap";

/// The path of the program, beside this one. Under `cargo run` it is built first, for cargo builds one program of a
/// package at a time and an old one would answer for code that is gone.
///
/// # Errors
/// It cannot be built, or is not there.
pub fn program() -> anyhow::Result<PathBuf> {
    if let (Some(cargo), Some(package)) = (
        std::env::var_os("CARGO"),
        std::env::var_os("CARGO_MANIFEST_DIR"),
    ) {
        let profile = if cfg!(debug_assertions) {
            "dev"
        } else {
            "release"
        };
        let status = Command::new(cargo)
            .current_dir(package)
            .args(["build", "--quiet", "--bin", NAME, "--profile", profile])
            .status()
            .context("cargo cannot be started")?;
        if !status.success() {
            bail!("cargo could not build {NAME}: {status}");
        }
    }
    let this = std::env::current_exe().context("the path of this program is unknown")?;
    let program = this.with_file_name(NAME);
    if !program.exists() {
        bail!(
            "{} is missing: cargo build --release -p podpool-benches --bins",
            program.display()
        );
    }
    Ok(program)
}
