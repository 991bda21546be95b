//! The client with its credentials, which a separate program may provide.

use std::thread;

use kube::{Client, Config};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{REACH, chain};

/// The client. A kubeconfig may name a program that prints the credentials: `kube` waits for that program wherever it
/// is called, and without an end, so the program has a thread of its own.
pub(super) async fn client(config: Config) -> Result<Client, String> {
    let made = |client: Result<Client, kube::Error>| client.map_err(|error| chain(&error));
    let Some(login) = config.auth_info.exec.as_ref() else {
        return made(Client::try_from(config));
    };
    let program = login.command.clone().unwrap_or_default();
    let runtime = Handle::current();
    let (done, client) = oneshot::channel();
    let started = thread::Builder::new()
        .name("podpool-login".to_owned())
        .spawn(move || {
            // The client spawns a task for its requests, which must run on the executor's runtime.
            let _here = runtime.enter();
            // The receiver is dropped if the client is ready after the timeout.
            done.send(Client::try_from(config)).ok();
        });
    started.map_err(|error| format!("no thread can be started: {error}"))?;
    let failed =
        |what: &str| format!("the credential program of the kubeconfig, {program:?}, {what}");
    // A thread cannot be stopped: after the timeout the thread stays until its program ends, and blocks no exit.
    match timeout(REACH, client).await {
        Ok(Ok(client)) => made(client).map_err(|error| failed(&format!("failed: {error}"))),
        Ok(Err(_)) => Err(failed("made podpool panic")),
        Err(_) => Err(failed(&format!(
            "did not end within {REACH:?}; run it by hand to see what it waits for"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use kube::config::ExecConfig;

    use super::*;

    fn config(command: &str, arguments: &[&str]) -> Config {
        let mut config = Config::new("https://127.0.0.1:1".parse().unwrap());
        config.auth_info.exec = Some(ExecConfig {
            command: Some(command.to_owned()),
            args: Some(arguments.iter().map(|&one| one.to_owned()).collect()),
            ..ExecConfig::default()
        });
        config
    }

    async fn refused(config: Config) -> String {
        let made = client(config).await;
        made.err().expect("there are no credentials")
    }

    /// On a paused clock, which advances while nothing else happens.
    #[tokio::test(start_paused = true)]
    async fn a_program_that_does_not_end_is_an_error_with_its_name() {
        let said = refused(config("sleep", &["3"])).await;
        assert!(
            said.contains("\"sleep\"") && said.contains("did not end"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_program_that_fails_is_named() {
        for command in ["false", "no-such-program-at-all"] {
            let said = refused(config(command, &[])).await;
            assert!(said.contains(command) && said.contains("failed"), "{said}");
        }
    }
}
