//! The tasks that go wrong, and the tasks beside them that must not be affected.

use std::hint::black_box;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use podpool::TaskContext;

use crate::meeting::meet_at;
pub use crate::tasks::nest;

/// Gives its argument back.
#[podpool::task]
pub fn echo(n: u64) -> u64 {
    n
}

/// Works for a tenth of a millisecond; returns its argument, and the id of the process that the task ran in.
#[podpool::task]
pub fn echo_with_process(n: u64) -> (u64, u32) {
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_micros(100) {
        black_box(n);
    }
    (n, std::process::id())
}

/// The id of the process that the task runs in.
#[podpool::task]
pub fn process() -> u32 {
    std::process::id()
}

/// Waits at a meeting with its thread blocked, so that no cancellation ends the task; returns its name.
#[podpool::task]
pub fn meet(meeting: PathBuf, name: u32) -> std::io::Result<u32> {
    meet_at(meeting, name)?;
    Ok(name)
}

/// Like [`meet`], with a timeout of one second.
#[podpool::task(timeout = "1s")]
pub fn meet_briefly(meeting: PathBuf, name: u32) -> std::io::Result<u32> {
    meet_at(meeting, name)?;
    Ok(name)
}

/// Aborts if `n` is `victim`, at every attempt.
#[podpool::task]
pub fn abort_if(n: u64, victim: u64) -> u64 {
    if n == victim {
        std::process::abort();
    }
    n
}

/// Aborts at its first attempt.
#[podpool::task]
pub fn abort_once(ctx: &TaskContext) -> u32 {
    if ctx.attempt().0 == 1 {
        std::process::abort();
    }
    ctx.attempt().0
}

/// Recurses until the stack overflows.
#[podpool::task]
pub fn overflow(n: u64) -> u64 {
    deeper(n)
}

#[expect(
    unconditional_recursion,
    reason = "that the stack ends is what is tested"
)]
fn deeper(n: u64) -> u64 {
    let room = black_box([n; 512]);
    deeper(n + 1) + room[7]
}

/// Most that [`devour`] takes when nothing stops it, so that a broken limit does not end the machine.
const ENOUGH: usize = 1536;

/// Takes memory until the process is killed; returns the number of MiB taken when nothing stops the task.
#[podpool::task]
pub fn devour() -> usize {
    let mut taken = Vec::new();
    while taken.len() < ENOUGH {
        taken.push(black_box(vec![7_u8; 1 << 20]));
    }
    taken.len()
}

/// Requests 16 TiB in one allocation, more than any machine of these tests has.
#[podpool::task]
pub fn devour_at_once() -> usize {
    black_box(vec![7_u8; 1 << 44]).len()
}

/// Prints so many MiB in lines of 64 bytes, to standard output and standard error in turn.
#[podpool::task]
pub fn print_lines(mebibytes: usize) -> std::io::Result<usize> {
    let page = format!("{}\n", "x".repeat(63)).repeat(1 << 14);
    for page_number in 0..mebibytes {
        if page_number % 2 == 0 {
            std::io::stdout().write_all(page.as_bytes())?;
        } else {
            std::io::stderr().write_all(page.as_bytes())?;
        }
    }
    Ok(mebibytes)
}

/// Prints so many MiB without the end of a line.
#[podpool::task]
pub fn print_one_line(mebibytes: usize) -> std::io::Result<usize> {
    let part = "y".repeat(1 << 20);
    for _ in 0..mebibytes {
        std::io::stdout().write_all(part.as_bytes())?;
    }
    Ok(mebibytes)
}

/// Closes its process's descriptors from `first` up to `last`.
#[podpool::task]
pub fn close_descriptors(first: i32, last: i32) -> i32 {
    for descriptor in first..=last {
        // Most of them are not open.
        nix::unistd::close(descriptor).ok();
    }
    first
}

/// Replaces its process by another program, which neither answers nor ends.
#[podpool::task]
pub fn become_another_program() -> std::io::Result<()> {
    Err(Command::new("sleep").arg("600").exec())
}

/// Starts a program that outlives the task and holds the task's standard output open; returns its process id.
#[podpool::task]
pub fn leave_a_child() -> std::io::Result<u32> {
    Ok(Command::new("sleep").arg("600").spawn()?.id())
}

/// Starts a program that outlives the task, then waits at a meeting under the program's process id.
#[podpool::task]
pub fn leave_a_child_and_meet(meeting: PathBuf) -> std::io::Result<()> {
    let child = Command::new("sleep").arg("600").spawn()?;
    meet_at(meeting, child.id())
}

/// Runs a program, which inherits the slot's environment; returns what the program wrote to its standard output.
#[podpool::task]
pub fn run_program(program: PathBuf, arguments: Vec<String>) -> std::io::Result<String> {
    let ran = Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()?;
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}

/// An initializer that always fails.
#[podpool::task]
pub fn refuse() -> Result<(), String> {
    Err("the licence has expired".to_owned())
}

/// An initializer that ends its process.
#[podpool::task]
pub fn abort_at_start() {
    std::process::abort();
}

/// An initializer that waits at a meeting, under the name 0.
#[podpool::task]
pub fn meet_at_start(meeting: PathBuf) -> std::io::Result<()> {
    meet_at(meeting, 0)
}

/// Takes so many MiB, and keeps them while it waits at a meeting under the name 1.
#[podpool::task]
pub fn hoard(meeting: PathBuf, mebibytes: usize) -> std::io::Result<usize> {
    let taken = black_box(vec![7_u8; mebibytes << 20]);
    meet_at(meeting, 1)?;
    Ok(taken.len() >> 20)
}

/// Starts so many threads with stacks of so many bytes, and lets the threads end when all have started.
#[podpool::task]
pub fn gather_threads(threads: usize, stack: usize) -> std::io::Result<usize> {
    let door = std::sync::RwLock::new(());
    std::thread::scope(|scope| {
        // The guard is dropped at an error too; else the threads that started would wait for ever, and the scope too.
        let closed = door.write();
        for _ in 0..threads {
            let thread = std::thread::Builder::new().stack_size(stack);
            thread.spawn_scoped(scope, || drop(door.read()))?;
        }
        drop(closed);
        Ok(threads)
    })
}

/// Has a memory limit below what any process takes.
#[podpool::task(memory = "1MiB")]
pub fn too_modest() -> u32 {
    1
}

/// Like [`hoard`], with a memory limit of 64 MiB.
#[podpool::task(memory = "64MiB")]
pub fn hoard_within_limit(meeting: PathBuf, mebibytes: usize) -> std::io::Result<usize> {
    let taken = black_box(vec![7_u8; mebibytes << 20]);
    meet_at(meeting, 1)?;
    Ok(taken.len() >> 20)
}

/// Leaves a blocking call behind in the slot's runtime, as a look-up of a name without an answer does. The call's
/// thread waits at a meeting under this name.
#[podpool::task]
pub async fn leave_blocking(meeting: PathBuf, name: u32) -> u32 {
    let (arrived, arrival) = std::sync::mpsc::channel();
    tokio::task::spawn_blocking(move || {
        arrived.send(()).ok();
        meet_at(meeting, name).ok();
    });
    // A blocking call that has not begun would be dropped with the runtime, and nothing would be left behind.
    arrival.recv().ok();
    std::process::id()
}

/// An initializer that prints, and then waits at a meeting.
#[podpool::task]
pub fn load_for_ever(meeting: PathBuf) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "loading the model")?;
    meet_at(meeting, 0)
}

/// Aborts at its first attempt, and leaves a child behind that prints without end. The child is in a process group of
/// its own, so the kill of the slot's group does not reach the child.
#[podpool::task]
pub fn leave_a_printer_and_abort(ctx: &TaskContext) -> std::io::Result<u32> {
    if ctx.attempt().0 == 1 {
        Command::new("yes").process_group(0).spawn()?;
        std::process::abort();
    }
    Ok(ctx.attempt().0)
}

/// Writes its name to a journal, then waits at a meeting.
#[podpool::task]
pub fn note_and_meet(journal: PathBuf, meeting: PathBuf, name: u32) -> std::io::Result<u32> {
    let mut journal = std::fs::File::options()
        .append(true)
        .create(true)
        .open(journal)?;
    // In one write: other slots append to the same file, and lines must not mix.
    journal.write_all(format!("{name}\n").as_bytes())?;
    meet_at(meeting, name)?;
    Ok(name)
}

/// Fills so many MiB and never frees them; returns the id of the process that the task ran in.
#[podpool::task]
pub fn leak(mib: usize) -> u32 {
    std::mem::forget(black_box(vec![1_u8; mib << 20]));
    std::process::id()
}
