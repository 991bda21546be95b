//! A program with pools, to which tests send signals. The program carries out the lines of its input one after another,
//! and prints `did LINE` after each. The ends of tasks and signals are printed when they come.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use podpool::error::ShutdownError;
use podpool::events::EventKind;
use podpool::{PodPoolExecutor, TaskError};
use podpool_tests::faults::built;
use podpool_tests::faults::tasks::{echo, meet};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

#[podpool::main]
async fn main() {
    let mut pools = HashMap::new();
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["build", name, heard] => {
                let builder = PodPoolExecutor::builder().max_workers(1);
                let pool = built(builder.signals(heard == "hears")).await;
                pools.insert(name.to_owned(), pool);
            }
            ["work", name, meeting] => work(&pools[name], name, meeting).await,
            ["shutdown", name] => {
                let ended = pools[name].shutdown().await;
                let interrupted = matches!(ended, Err(ShutdownError::Interrupted { signal: 2 }));
                assert!(ended.is_ok() || interrupted, "{ended:?}");
            }
            ["how", name] => {
                let ended = pools[name].shutdown().await;
                println!("{name}: {ended:?}");
            }
            ["end"] => return,
            ["drop", name] => drop(pools.remove(name)),
            // The program's own handler of SIGINT.
            ["listen"] => listen(),
            // Handlers for signals that no test sends, and a child process, which tokio may await by SIGCHLD. podpool
            // must not take them for a handler of SIGINT.
            ["listen-otherwise"] => {
                drop(signal(SignalKind::child()).expect("a handler"));
                drop(signal(SignalKind::hangup()).expect("a handler"));
                let status = Command::new("true").status().await;
                assert!(status.is_ok_and(|status| status.success()));
            }
            // Two actions for one signal, so that a count of all actions is not mistaken for a handler of SIGINT.
            ["listen-otherwise-twice"] => {
                for _ in 0..2 {
                    let idle = Arc::new(AtomicBool::new(false));
                    signal_hook::flag::register(signal_hook::consts::SIGUSR1, idle)
                        .expect("a handler");
                }
            }
            _ => panic!("unknown line {line:?}"),
        }
        println!("did {line}");
    }
}

/// The lines of the input.
fn lines() -> UnboundedReceiver<String> {
    let (lines, received) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            // The receiver is gone when the program ends.
            lines.send(line).ok();
        }
    });
    received
}

/// One task that runs until its test releases the task, and a second one that waits for the only slot. Their ends are
/// printed. Returns when the pool knows that the first one runs: until then a signal cancels both.
async fn work(pool: &PodPoolExecutor, name: &str, meeting: &str) {
    let mut events = pool.events();
    let runs = pool.submit(meet(meeting.into(), 1));
    let waits = pool.submit(echo(2));
    let [first, second] = [format!("{name} runs"), format!("{name} waits")];
    tokio::spawn(async move { say(&first, runs.await) });
    tokio::spawn(async move { say(&second, waits.await) });
    while let Some(event) = events.next().await {
        if matches!(event.kind, EventKind::Started { .. }) {
            return;
        }
    }
}

fn say<T>(what: &str, end: Result<T, TaskError>) {
    match end {
        Ok(_) => println!("{what}: done"),
        Err(error) => println!("{what}: {:?}", error.kind()),
    }
}

fn listen() {
    let mut interrupts = signal(SignalKind::interrupt()).expect("a handler");
    tokio::spawn(async move {
        while interrupts.recv().await.is_some() {
            println!("own handler");
        }
    });
}
