//! Masters in processes of their own: killed, and stopped and taken over.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use podpool_core::ledger::LedgerError;
use rustix::process::{Pid, Signal, kill_process};

use super::*;

/// Where a process that is made by this test finds its ledger.
const DIRECTORY: &str = "LEDGER_OF_TEST";

/// How long a line of the other process may take. A call of a ledger takes 10 s at most.
const PATIENCE: Duration = Duration::from_secs(25);

/// A process that is the master of `nightly`, and appends whenever it reads a line.
struct Holder {
    child: Child,
    to: ChildStdin,
    from: Receiver<String>,
}

impl Holder {
    fn start(scratch: &Scratch) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("ledger::sqlite::tests::processes::a_master_is_killed_or_taken_over")
            .env(DIRECTORY, scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (line, from) = mpsc::channel();
        // Ends with the process, or with the test.
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|it| line.send(it)));
        let holder = Self {
            to: child.stdin.take().unwrap(),
            from,
            child,
        };
        holder.expect("it has run");
        holder
    }

    /// Waits for a line with these words. The test harness prints lines of its own.
    fn expect(&self, words: &str) {
        loop {
            let line = self.from.recv_timeout(PATIENCE);
            if line.expect(words).contains(words) {
                break;
            }
        }
    }

    fn appends(&mut self) {
        writeln!(self.to, "append").unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the process does.
fn hold(directory: &Path) {
    let ledger = SqliteLedger::new(directory);
    let mut run = ledger.open(&named("nightly", "nightly-0")).unwrap();
    if run.epoch == 1 {
        run.ledger.append(&[a_type()], at(1)).unwrap();
    }
    println!("it has run {}", run.run);
    let first = run.epoch * 1_000;
    for (number, line) in (first..).zip(std::io::stdin().lines()) {
        line.unwrap();
        match run.ledger.append(&[small(number)], at(2)) {
            Ok(()) => println!("appended"),
            Err(error) => println!("refused: {error}"),
        }
    }
}

#[test]
fn a_master_is_killed_or_taken_over() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return hold(Path::new(&directory));
    }
    let scratch = Scratch::new();
    let ledger = scratch.ledger();
    let is_held_by = |child: &Child, epoch| match ledger.open(&existing("nightly-0")) {
        Err(LedgerError::Held { holder, .. }) => {
            assert_eq!((holder.epoch, holder.master.pid), (epoch, child.id()));
        }
        other => panic!("a held run: {other:?}"),
    };

    // Killed: what it had appended is there, and the run is free at once.
    let mut killed = Holder::start(&scratch);
    is_held_by(&killed.child, 1);
    killed.appends();
    killed.expect("appended");
    is_held_by(&killed.child, 1);
    killed.signal(Signal::KILL);
    killed.child.wait().unwrap();
    let record = ledger.runs().unwrap().remove(0).unwrap();
    assert!(!record.held && record.masters[0].until.is_none());

    // Stopped: it holds the run, until that is taken over; when it goes on, it writes no more.
    let mut stopped = Holder::start(&scratch);
    stopped.appends();
    stopped.expect("appended");
    stopped.signal(Signal::STOP);
    is_held_by(&stopped.child, 2);
    let mut take_over = existing("nightly-0");
    take_over.take_over = true;
    let mut run = ledger.open(&take_over).unwrap();
    assert_eq!((run.epoch, count(&mut *run.ledger)), (3, 2));
    stopped.appends();
    stopped.signal(Signal::CONT);
    stopped.expect("refused: master 3 has taken run nightly-0 over");
    assert_eq!(count(&mut *run.ledger), 2);
    drop(stopped);
    assert!(
        ledger.runs().unwrap().remove(0).unwrap().held,
        "by this one"
    );
    run.ledger.append(&[small(5)], at(3)).unwrap();
}
