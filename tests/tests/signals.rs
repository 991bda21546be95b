//! Ctrl-C: each pool counts its own signals, a program's own handler is called too, and without a pool the signal has
//! its default action. Real processes and real signals.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};
use std::time::Duration;

use podpool_tests::faults::meeting::Meeting;
use podpool_tests::faults::processes::signal;
use podpool_tests::faults::{Program, within};
use rustix::process::Signal;
use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_default;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_signals-master");

/// The program, and where its tasks wait.
struct Master {
    program: Program,
    meeting: Meeting,
}

/// Lets programs that are started from here receive SIGINT, also where this process was started with SIGINT ignored:
/// `exec` resets a caught signal to its default action and keeps an ignored one ignored.
/// <https://man7.org/linux/man-pages/man2/execve.2.html>
fn interrupts_are_handled() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let always = Arc::new(AtomicBool::new(true));
        register_conditional_default(SIGINT, always).expect("a handler");
    });
}

impl Master {
    fn start() -> Self {
        interrupts_are_handled();
        Self::started(Program::start(Path::new(PROGRAM), &[]))
    }

    fn started(program: Program) -> Self {
        Self {
            program,
            meeting: Meeting::new(),
        }
    }

    async fn tell(&mut self, line: &str) {
        self.program.say(line).await;
        self.program.hear(&format!("did {line}")).await;
    }

    /// A task that runs, held, and one behind it.
    async fn work(&mut self, pool: &str) -> podpool_tests::faults::meeting::Guest {
        let path = self.meeting.path();
        self.tell(&format!("work {pool} {}", path.display())).await;
        self.meeting.guest().await
    }

    fn interrupt(&self) {
        assert!(signal(self.program.pid(), Signal::INT));
    }

    /// The next lines, in any order.
    async fn hear(&mut self, lines: &[&str]) {
        let mut heard = Vec::new();
        for _ in lines {
            heard.push(self.program.hear("").await);
        }
        heard.sort();
        assert_eq!(heard, lines);
    }

    async fn end(&mut self) -> ExitStatus {
        within("the end of the program", self.program.wait()).await
    }

    /// Checks that the next Ctrl-C ends the program as it ends a program without a handler.
    async fn dies_of_the_next(&mut self) {
        self.interrupt();
        let status = self.end().await;
        assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "{status:?}");
    }
}

#[tokio::test]
async fn each_pool_counts_its_own_signals() {
    let mut master = Master::start();
    for _ in 0..3 {
        master.tell("build a hears").await;
        let guest = master.work("a").await;
        master.interrupt();
        master.hear(&["a waits: Cancelled"]).await;
        guest.let_go().await;
        master.hear(&["a runs: done"]).await;
        master.tell("shutdown a").await;
    }
    master.dies_of_the_next().await;
}

#[tokio::test]
async fn two_pools_at_once_both_take_their_steps() {
    let mut master = Master::start();
    master.tell("build a hears").await;
    let first = master.work("a").await;
    master.interrupt();
    master.hear(&["a waits: Cancelled"]).await;
    master.tell("build b hears").await;
    let second = master.work("b").await;
    // This signal is the second one for pool a, and the first one for pool b, which was built later.
    master.interrupt();
    master
        .hear(&["a runs: ShutDown", "b waits: Cancelled"])
        .await;
    first.vanished().await;
    second.let_go().await;
    master.hear(&["b runs: done"]).await;
}

#[tokio::test]
async fn a_pool_that_was_dropped_takes_no_signal_from_another() {
    let mut master = Master::start();
    master.tell("build a hears").await;
    master.tell("build b hears").await;
    let first = master.work("a").await;
    let second = master.work("b").await;
    // The futures resolve on another thread, so their lines may come before that of the shutdown.
    master.program.say("drop a").await;
    master
        .hear(&["a runs: ShutDown", "a waits: ShutDown", "did drop a"])
        .await;
    first.vanished().await;
    master.interrupt();
    master.hear(&["b waits: Cancelled"]).await;
    master.interrupt();
    master.hear(&["b runs: ShutDown"]).await;
    second.vanished().await;
    master.tell("shutdown b").await;
    master.dies_of_the_next().await;
}

#[tokio::test]
async fn a_shutdown_that_waits_is_made_shorter() {
    let mut master = Master::start();
    master.tell("build a hears").await;
    let guest = master.work("a").await;
    master.program.say("shutdown a").await;
    master.interrupt();
    master.hear(&["a waits: Cancelled"]).await;
    master.interrupt();
    master.hear(&["a runs: ShutDown", "did shutdown a"]).await;
    guest.vanished().await;
}

#[tokio::test]
async fn signals_that_are_left_to_the_program_do_what_they_do_by_default() {
    let mut master = Master::start();
    master.tell("build a leaves").await;
    let guest = master.work("a").await;
    master.dies_of_the_next().await;
    guest.vanished().await;
}

#[tokio::test]
async fn a_programs_own_handler_runs_too() {
    for first in [true, false] {
        let mut master = Master::start();
        if first {
            master.tell("listen").await;
        }
        master.tell("build a hears").await;
        if !first {
            master.tell("listen").await;
        }
        let guest = master.work("a").await;
        master.interrupt();
        master.hear(&["a waits: Cancelled", "own handler"]).await;
        guest.let_go().await;
        master.hear(&["a runs: done"]).await;
        master.tell("shutdown a").await;
        for _ in 0..3 {
            master.interrupt();
            master.hear(&["own handler"]).await;
        }
        master.tell("build b hears").await;
        master.tell("shutdown b").await;
    }
}

#[tokio::test]
async fn a_handler_that_comes_after_the_last_pool_is_the_only_one() {
    let mut master = Master::start();
    master.tell("build a hears").await;
    master.tell("shutdown a").await;
    master.tell("listen").await;
    for _ in 0..2 {
        master.interrupt();
        master.hear(&["own handler"]).await;
    }
}

#[tokio::test]
async fn handlers_of_other_signals_change_nothing() {
    let mut master = Master::start();
    master.tell("build a hears").await;
    master.tell("listen-otherwise").await;
    master.tell("shutdown a").await;
    master.dies_of_the_next().await;
}

/// Without the notice the program would seem to hang until its running tasks have ended.
#[tokio::test]
async fn the_first_signal_causes_a_notice() {
    interrupts_are_handled();
    let mut program = Command::new(PROGRAM);
    program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut program = program.spawn().expect("a program");
    let mut mouth = program.stdin.take().expect("its input");
    let ears = program.stdout.take().expect("its output");
    let ears = BufReader::new(ears).lines();
    let mut errors = BufReader::new(program.stderr.take().expect("its errors")).lines();
    let told = async {
        mouth
            .write_all(b"build a hears\n")
            .await
            .expect("it listens");
        let mut ears = ears;
        let line = ears.next_line().await.expect("a line");
        assert_eq!(line.as_deref(), Some("did build a hears"));
        assert!(signal(program.id().expect("it lives"), Signal::INT));
        errors.next_line().await.expect("a line")
    };
    let line = within("words", told).await.expect("a line");
    assert_eq!(line, "podpool: interrupted: no task runs");
}

/// A second handler for another signal looks to podpool like a handler for this signal.
#[tokio::test]
async fn repeated_signals_override_a_wrong_guess() {
    let mut master = Master::start();
    master.tell("build a hears").await;
    master.tell("listen-otherwise-twice").await;
    master.tell("shutdown a").await;
    let insist = async {
        let mut sent = 0;
        loop {
            master.interrupt();
            sent += 1;
            // Two signals that are pending at once are merged into one, so 200 ms lie between two of them.
            let ended = tokio::time::timeout(Duration::from_millis(200), master.program.wait());
            if let Ok(status) = ended.await {
                break (sent, status);
            }
        }
    };
    let (sent, status) = within("the end of the program", insist).await;
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "{status:?}");
    // Fewer signals are left to the program's supposed handler.
    assert!(sent >= 5, "{sent} were enough");
}

#[tokio::test]
async fn a_program_that_ignores_ctrl_c_continues_to_ignore_it() {
    let script = r#"trap "" INT; exec "$0""#;
    let program = Program::start(Path::new("sh"), &["-c", script, PROGRAM]);
    let mut master = Master::started(program);
    master.tell("build a hears").await;
    let guest = master.work("a").await;
    for _ in 0..3 {
        master.interrupt();
    }
    guest.let_go().await;
    master.hear(&["a runs: done", "a waits: done"]).await;
    master.interrupt();
    master.tell("shutdown a").await;
}

/// The exit code must show the interruption; a CronJob would otherwise count as successful.
#[tokio::test]
async fn an_interrupted_run_reports_the_signal_and_its_program_exits_by_it() {
    let mut master = Master::start();
    master.tell("build a hears").await;
    let guest = master.work("a").await;
    master.interrupt();
    master.hear(&["a waits: Cancelled"]).await;
    guest.let_go().await;
    master.hear(&["a runs: done"]).await;
    master.program.say("how a").await;
    let interrupted = "a: Err(Interrupted { signal: 2 })";
    master.hear(&[interrupted, "did how a"]).await;
    master.program.say("end").await;
    assert_eq!(master.end().await.code(), Some(130));
    // A program that was not interrupted exits with the result of its `main`.
    let mut master = Master::start();
    master.tell("build a hears").await;
    master.tell("shutdown a").await;
    master.program.say("end").await;
    assert_eq!(master.end().await.code(), Some(0));
}
