//! The first line of a program: which role this process has, and the life of a slot.
//!
//! A slot is a process of the user's own executable, so the user's `main` must hand over before it does anything
//! else: [`init`] never returns in a slot.

use std::io::Write;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::thread;

use crate::role::{ROLE, read_slot_role};
#[cfg(unix)]
use crate::slot;

/// Exit code of a slot whose program builds an executor before it calls `init()`: `EX_USAGE`.
const EXIT_SLOT_WITHOUT_INIT: i32 = 64;
/// Exit code of a worker whose program builds an executor before it calls `init()`: `EX_CONFIG`.
const EXIT_WORKER_WITHOUT_INIT: i32 = 78;

/// Stack of the thread that runs tasks: what the main thread of a program has on Linux.
#[cfg(unix)]
// The default of RLIMIT_STACK: code that runs in `main` without a pool has the same in a task.
const STACK: usize = 8 << 20;

/// Why an executor that starts processes cannot be built here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildRefused {
    /// `init()` has not run, so the processes would run the program's `main` instead of tasks.
    #[error(
        "podpool is not initialised, so no process can be started: write #[podpool::main] on main, or call podpool::init() as its first line; in a file of #[test]s write podpool::test_slots!() once, outside of any function (init() does not help there), or use Isolation::InProcess"
    )]
    NotInitialised,
    /// `init()` was called inside a `#[test]`: the processes would run the program's other tests instead of tasks.
    #[error(
        "podpool::init() was called inside a #[test], where it can do nothing: each slot would run the other tests again; write podpool::test_slots!() once in the test file, outside of any function, or use Isolation::InProcess"
    )]
    InitInTest,
    /// This process runs tasks itself.
    #[error(
        "a task cannot build a pool of processes of its own: submit the tasks from the program that submitted this one"
    )]
    NestedPool,
}

/// `init()` was called inside a `#[test]`.
static CALLED_IN_TEST: OnceLock<()> = OnceLock::new();

#[doc(hidden)]
pub use crate::role::TEST_SLOTS;
pub use crate::role::{ROLE_VARIABLE, Role, WORKER_ROLE};

/// Takes the process's role from its environment. In a slot this never returns: it runs tasks until its worker ends it.
/// It may be called more than once, and inside a runtime. Inside a `#[test]` it does nothing, and an executor needs
/// [`test_slots!`](crate::test_slots).
///
/// A worker or slot installs a tracing subscriber that writes to stderr what `RUST_LOG` selects.
pub fn init() -> Role {
    begin(None::<fn()>)
}

/// Like [`init`], and runs `setup` once, in master, worker and slot alike, before anything else. No tracing
/// subscriber is installed then.
pub fn init_with(setup: impl FnOnce()) -> Role {
    begin(Some(setup))
}

/// Whether [`init`] ran, or libtest can start slots by [`test_slots!`](crate::test_slots).
#[must_use]
pub fn is_initialised() -> bool {
    ROLE.get().is_some() || !TEST_SLOTS.is_empty()
}

/// The role of this process; [`Role::Master`] where the environment gives no other.
#[must_use]
pub fn role() -> Role {
    ROLE.get()
        .copied()
        .unwrap_or_else(|| Assigned::read().role())
}

/// Whether an executor that starts processes may be built here. A slot or worker that comes here without `init()`
/// ends with a message on stderr: else it would start slots that start slots.
///
/// # Errors
/// [`BuildRefused`] names what the program must change.
pub fn may_build() -> Result<(), BuildRefused> {
    match (ROLE.get(), role()) {
        (Some(Role::Master), _) => Ok(()),
        (Some(Role::Slot | Role::Worker), _) => Err(BuildRefused::NestedPool),
        (None, Role::Slot) => leave(EXIT_SLOT_WITHOUT_INIT),
        (None, Role::Worker) => leave(EXIT_WORKER_WITHOUT_INIT),
        (None, Role::Master) if is_initialised() => Ok(()),
        (None, Role::Master) if CALLED_IN_TEST.get().is_some() => Err(BuildRefused::InitInTest),
        (None, Role::Master) => Err(BuildRefused::NotInitialised),
    }
}

/// Runs the slot in a libtest child, and returns at once elsewhere. For [`test_slots!`](crate::test_slots).
#[doc(hidden)]
pub fn serve_test_slot() {
    if ROLE.get().is_none() && Assigned::read().role() == Role::Slot {
        init();
    }
}

/// Lets a libtest program start slots: write it once, in any module of the test file, outside of any function.
///
/// It adds a test, `podpool_slots`, which appears in the list of tests and passes at once; a slot is a process of the
/// test program that runs this test alone. Each program of tests needs its own: the library for its unit tests, and
/// every file in `tests/`.
///
/// ```no_run
/// # use podpool_core as podpool;
/// podpool::test_slots!();
/// ```
///
/// With `podpool` a test builds a pool then, as a program does:
///
/// ```text
/// podpool::test_slots!();
///
/// #[test]
/// fn a_pool_squares() {
///     let pool = podpool::PodPoolExecutor::builder().max_workers(1).build_blocking().unwrap();
///     assert_eq!(pool.submit(square(7)).result().unwrap(), 49);
///     pool.shutdown().unwrap();
/// }
/// ```
///
/// A test of a task's body needs neither pool nor slots: [`Call::run_here`](crate::task::Call::run_here). A pool with
/// `Isolation::InProcess` needs no slots.
#[macro_export]
macro_rules! test_slots {
    () => {
        #[test]
        fn podpool_slots() {
            $crate::init::serve_test_slot();
        }

        const _: () = {
            #[$crate::init::__linkme::distributed_slice($crate::init::TEST_SLOTS)]
            #[linkme(crate = $crate::init::__linkme)]
            static PODPOOL_SLOTS: &str = concat!(module_path!(), "::podpool_slots");
        };
    };
}

#[doc(hidden)]
pub use linkme as __linkme;

/// The role that the environment names, if it is meant for this process.
#[derive(Debug)]
enum Assigned {
    Master,
    Worker,
    /// With the limit on open files that it must have, if that is another one.
    #[cfg(unix)]
    Slot(Option<u64>),
}

impl Assigned {
    fn read() -> Self {
        let Ok(value) = std::env::var(ROLE_VARIABLE) else {
            return Self::Master;
        };
        match read_slot_role(&value) {
            #[cfg(unix)]
            // Both must hold: the variable is inherited by what a task starts, the parent and the socket are not.
            Some((parent, limit)) if is_child_of(parent) && stdin_is_socket() => Self::Slot(limit),
            None if value == WORKER_ROLE => Self::Worker,
            // A grandchild that inherited the variable is an ordinary program.
            Some(_) | None => Self::Master,
        }
    }

    fn role(&self) -> Role {
        match self {
            Self::Master => Role::Master,
            Self::Worker => Role::Worker,
            #[cfg(unix)]
            Self::Slot(_) => Role::Slot,
        }
    }
}

#[cfg(unix)]
fn is_child_of(parent: &str) -> bool {
    let its = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    its.is_some() && parent.parse().ok() == its
}

#[cfg(unix)]
fn stdin_is_socket() -> bool {
    slot::is_local_socket(rustix::stdio::stdin())
}

fn begin(setup: Option<impl FnOnce()>) -> Role {
    if let Some(role) = ROLE.get() {
        return *role;
    }
    let assigned = Assigned::read();
    if matches!(assigned, Assigned::Master) && is_test() {
        // A slot would run main, which is libtest's, and with it every test. So this process stays what it was.
        if CALLED_IN_TEST.set(()).is_ok()
            && let Some(setup) = setup
        {
            setup();
        }
        return Role::Master;
    }
    // Set before any code of the user's: a `setup` that reads the role gets the true one.
    let role = *ROLE.get_or_init(|| assigned.role());
    #[cfg(unix)]
    let socket = if let Assigned::Slot(limit) = assigned {
        // Before the socket is taken and before any code of the user's: a `setup` that reads /dev/tty must already fail.
        leave_terminal();
        limit.into_iter().for_each(slot::restore);
        // The socket leaves stdin before any code of the user's can read from it.
        Some(take_socket())
    } else {
        None
    };
    // After the socket left stdin: the set-up is the first code of the user's that runs in a slot.
    match setup {
        Some(setup) => setup(),
        None if role != Role::Master => install_subscriber(),
        None => {}
    }
    #[cfg(unix)]
    if let Some(socket) = socket {
        run_slot(socket);
    }
    role
}

/// Whether libtest runs this code as a test. It leaves no other trace than its frames on the stack, which take long to
/// read; so the main thread looks only where cargo puts test programs. (On it libtest runs tests one by one.)
fn is_test() -> bool {
    let is_main = thread::current().name() == Some("main");
    let in_deps = || {
        let program = std::env::current_exe().ok();
        let directory = program.as_deref().and_then(std::path::Path::parent);
        directory.is_some_and(|directory| directory.ends_with("deps"))
    };
    if is_main && !in_deps() {
        return false;
    }
    // Takes milliseconds. Slots and workers never come here, for the environment gives them their role.
    let stack = std::backtrace::Backtrace::force_capture().to_string();
    stack.lines().any(is_frame_of_libtest)
}

/// Whether a line of a stack's text names a function of the crate `test`, such as `  17: test::run_test::{{closure}}`.
fn is_frame_of_libtest(line: &str) -> bool {
    let function = line.split_once(": ").map_or(line, |(_, function)| function);
    ["test::run_test", "test::__rust_begin_short_backtrace"]
        .iter()
        .any(|name| function.starts_with(name))
}

/// Leaves the controlling terminal, so that a task that opens `/dev/tty` gets an error. A read from it, or a change of its
/// modes, would stop this process for ever, as the terminal stops a job in the background.
///
/// The worker starts a slot as the leader of its own process group, so that Ctrl-C does not reach it and a kill of the
/// group reaches no other process. A leader cannot begin a session. So the slot joins its worker's group for an instant,
/// and then leads a group of its old number again, in a session of its own.
#[cfg(unix)]
fn leave_terminal() {
    use rustix::process::{getpgid, getpgrp, getpid, getppid, setpgid, setsid};
    if getpgrp() == getpid()
        && let Some(worker) = getppid()
        && let Ok(its) = getpgid(Some(worker))
    {
        let _ = setpgid(None, Some(its));
    }
    // EPERM while a process group of this id is left: <https://man7.org/linux/man-pages/man2/setsid.2.html>
    if setsid().is_err() {
        // The program started children before init(), which are in the old group: the slot stays with them, and with its
        // terminal.
        let _ = setpgid(None, None);
    }
}

/// Moves the socket from stdin to a descriptor that no child of a task inherits, and gives the task an empty input.
#[cfg(unix)]
fn take_socket() -> std::io::Result<OwnedFd> {
    // 3 or above: 1 and 2 may be closed in the program, and what a task prints must not go to the socket.
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let empty = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&empty)?;
    Ok(socket)
}

/// Runs the slot on a thread of its own, because the caller may be inside a runtime, where nothing may block.
#[cfg(unix)]
fn run_slot(socket: std::io::Result<OwnedFd>) -> ! {
    let lived = socket.and_then(|socket| {
        thread::Builder::new()
            .name("podpool-slot".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                watch_worker();
                slot::serve(socket)
            })
    });
    match lived.map(thread::JoinHandle::join) {
        Ok(Ok(never)) => never,
        Ok(Err(_)) => exit("the slot's thread panicked", 70),
        Err(error) if slot::is_shortage(&error) => exit(
            &format!("the slot cannot begin: {error}"),
            slot::EXIT_SHORTAGE,
        ),
        Err(error) => exit(&format!("the slot cannot begin: {error}"), 70),
    }
}

/// Makes sure that this process notices the end of its worker, and checks whether that end came before.
///
/// The end is read on the control socket, and the slot then kills its whole group. A signal that killed at the worker's
/// death would always be first, and leave what tasks started behind; this one only wakes a slot that is stopped, so
/// that it can read. Where there is no such signal the slot looks for its parent besides, for another process may hold
/// the worker's end of the socket.
#[cfg(unix)]
fn watch_worker() {
    // Before the look at the parent: a worker that ends in between is found by the look, one that ends later by the
    // signal.
    let woken = wake_at_workers_end();
    let worker = std::env::var(ROLE_VARIABLE).ok();
    let worker = worker.as_deref().and_then(read_slot_role);
    let Some((worker, _)) = worker.filter(|(worker, _)| is_child_of(worker)) else {
        exit("the worker process ended before this slot began", 70);
    };
    if !woken {
        slot::end_without(worker.to_owned(), is_child_of);
    }
}

/// Asks for a signal when the thread ends that started this process. False where there is none.
#[cfg(target_os = "linux")]
fn wake_at_workers_end() -> bool {
    use rustix::process::{Signal, set_parent_process_death_signal};
    // The signal comes when the *thread* ends that started this process: hence the contract of `Slot::start`.
    // <https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html>
    set_parent_process_death_signal(Some(Signal::CONT)).is_ok()
}

/// Only Linux has such a signal. Elsewhere a stopped group is continued when its parent ends.
#[cfg(all(unix, not(target_os = "linux")))]
const fn wake_at_workers_end() -> bool {
    false
}

/// Writes to stderr what RUST_LOG selects. A program that set its own subscriber keeps it.
fn install_subscriber() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::prelude::*;
    let wanted = std::env::var("RUST_LOG").ok();
    let targets = wanted
        .and_then(|filter| filter.parse::<Targets>().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(std::io::stderr);
    // It fails when the program has set a subscriber, which stays.
    drop(
        tracing_subscriber::registry()
            .with(lines.with_filter(targets))
            .try_init(),
    );
}

/// Ends a worker process that cannot be one, with the exit code for a wrong set-up.
pub fn cannot_work(reason: &str) -> ! {
    exit(reason, EXIT_WORKER_WITHOUT_INIT)
}

fn leave(code: i32) -> ! {
    exit(
        "podpool: this process was started to run tasks, but the program builds an executor first; call podpool::init() as the first line of main",
        code,
    )
}

#[expect(
    clippy::exit,
    reason = "the process was started for one purpose, and that has failed"
)]
fn exit(reason: &str, code: i32) -> ! {
    // A failed write cannot be reported: stderr is the only stream.
    drop(writeln!(std::io::stderr(), "{reason}"));
    std::process::exit(code)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_role_meant_for_another_process_is_ignored() {
        let me = std::process::id().to_string();
        assert!(!is_child_of(&me));
        assert!(!is_child_of("x"));
        assert!(is_child_of(
            &std::os::unix::process::parent_id().to_string()
        ));
    }

    #[test]
    fn libtest_is_seen_on_the_stack_of_a_test_only() {
        assert!(is_test());
        let elsewhere = thread::spawn(is_test).join();
        assert!(matches!(elsewhere, Ok(false)));
        assert!(is_frame_of_libtest("  17: test::run_test_in_process"));
        assert!(!is_frame_of_libtest("  17: mine::test::run_test"));
    }

    #[test]
    fn an_ordinary_process_is_a_master() {
        assert_eq!(role(), Role::Master);
    }
}
