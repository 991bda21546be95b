//! Programs that keep logins: `docker-credential-NAME`.
//!
//! The program reads the registry from its standard input, and writes JSON:
//! <https://github.com/docker/docker-credential-helpers#development>.

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::Login;

/// How long a helper may take. Those of clouds call a service, and some start Python.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// What helpers say where they have no login for a registry.
const UNKNOWN: &str = "credentials not found";
/// How much of a helper's text is shown.
const SHOWN: usize = 300;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// The login that a helper has for a registry; none where it has none.
pub(super) async fn ask(
    name: &str,
    registry: &str,
    patience: Duration,
) -> Result<Option<Login>, String> {
    let program = format!("docker-credential-{name}");
    // A name is no path: what a configuration names is looked up in PATH alone.
    if name.contains(['/', '\\']) {
        return Err(format!("{program:?} is no name of a credential helper"));
    }
    answer(&program, registry, patience).await
}

/// The same, of a program by its name or path.
pub(super) async fn answer(
    program: &str,
    registry: &str,
    patience: Duration,
) -> Result<Option<Login>, String> {
    let asked = timeout(patience, run(program, registry)).await;
    let output = match asked {
        Err(_) => {
            return Err(format!(
                "{program} did not end within {patience:?}; run `echo {registry} | {program} get` to see what it waits for"
            ));
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!(
                "{program} is not in PATH; install it, or log in without it (docker login)"
            ));
        }
        Ok(Err(error)) => return Err(format!("{program} cannot be run: {error}")),
        Ok(Ok(output)) => output,
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        if said.contains(UNKNOWN) {
            return Ok(None);
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        // Helpers report errors on either stream; a login is printed on success alone.
        let text: String = format!("{} {}", said.trim(), errors.trim())
            .chars()
            .take(SHOWN)
            .collect();
        return Err(format!(
            "{program} failed ({}): {}",
            output.status,
            text.trim()
        ));
    }
    // An error of the reader would show a part of the secret.
    let answer: Answer = serde_json::from_str(&said)
        .map_err(|_| format!("{program} printed no login that can be read"))?;
    let empty = answer.username.is_empty() && answer.secret.is_empty();
    Ok((!empty).then(|| Login::new(answer.username, answer.secret)))
}

async fn run(program: &str, registry: &str) -> io::Result<Output> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // When the time is over.
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that reads nothing closes the pipe.
        input
            .write_all(format!("{registry}\n").as_bytes())
            .await
            .ok();
    }
    child.wait_with_output().await
}
