//! The tasks that these slots run.

//! What the slots run.
use super::*;

#[task(crate = podpool_core)]
pub fn hello(name: String) -> String {
    format!("hello {name}")
}

#[task(crate = podpool_core)]
pub async fn later(value: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(1)).await;
    value
}

#[task(crate = podpool_core)]
pub fn noop(value: u64) -> u64 {
    value
}

#[task(crate = podpool_core)]
pub fn echo(text: String) -> String {
    text
}

#[task(crate = podpool_core)]
pub fn panics(word: String) {
    println!("about to panic");
    panic!("no {word}");
}

#[task(crate = podpool_core)]
pub async fn panics_later(word: String) {
    tokio::task::yield_now().await;
    panic!("no {word}");
}

#[task(crate = podpool_core)]
pub fn aborts() {
    println!("last words");
    std::process::abort();
}

#[task(crate = podpool_core)]
#[expect(clippy::exit, reason = "it is what the test is about")]
pub fn exits(code: i32) {
    std::process::exit(code);
}

#[task(crate = podpool_core)]
pub fn overflows(depth: u64) -> u64 {
    fn deeper(depth: u64) -> u64 {
        let room = std::hint::black_box([depth; 512]);
        if depth == u64::MAX {
            return room[0];
        }
        deeper(depth + 1) + room[7]
    }
    deeper(depth)
}

#[task(crate = podpool_core)]
pub async fn waits_for_cancel(ctx: &TaskContext) -> String {
    println!("waiting");
    ctx.cancelled().await;
    "cancelled".to_owned()
}

#[task(crate = podpool_core)]
pub fn hangs() {
    println!("hanging");
    loop {
        std::thread::park();
    }
}

#[task(crate = podpool_core)]
pub fn prints(word: String) {
    println!("out {word}");
    eprintln!("err {word}");
    print!("open {word}");
}

#[task(crate = podpool_core)]
pub fn floods(mebibytes: usize) {
    let line = format!("{}\n", "x".repeat(99));
    let block = line.repeat(1 << 14);
    let mut out = std::io::stdout().lock();
    let mut left = mebibytes << 20;
    while left > 0 {
        let part = left.min(block.len());
        out.write_all(&block.as_bytes()[..part]).unwrap();
        left -= part;
    }
    out.write_all(b"\nthe end\n").unwrap();
}

/// A grandchild that outlives its task and holds every stream, the data socket's process group included.
#[task(crate = podpool_core)]
pub fn leaves_a_grandchild() -> u32 {
    Command::new("sleep").arg("1000").spawn().unwrap().id()
}

#[task(crate = podpool_core)]
pub fn hogs(mebibytes: usize, step: usize) -> usize {
    let mut held = Vec::new();
    for _ in 0..mebibytes / step {
        held.push(vec![1_u8; step << 20]);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    held.len()
}

#[task(crate = podpool_core)]
pub fn claims(mebibytes: usize) -> usize {
    std::hint::black_box(vec![1_u8; mebibytes << 20]).len()
}

#[task(crate = podpool_core)]
pub fn refuses() -> Result<(), String> {
    Err("this slot is not to be".to_owned())
}

/// Ends every socket of the process, and goes on.
#[task(crate = podpool_core)]
pub fn cuts_its_sockets() {
    let me = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).unwrap();
    for number in 3..64 {
        if let Ok(descriptor) = pidfd_getfd(&me, number, PidfdGetfdFlags::empty()) {
            let _ = rustix::net::shutdown(descriptor, rustix::net::Shutdown::Both);
        }
    }
    loop {
        std::thread::park();
    }
}

/// A value whose shape depends on the environment: two processes of one program then seem to be two programs.
#[derive(Debug, serde::Serialize)]
pub(super) struct Changed(pub(super) u64);

impl<'de> serde::Deserialize<'de> for Changed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if std::env::var_os(OTHER).is_some() {
            u32::deserialize(deserializer).map(|value| Self(value.into()))
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

#[task(crate = podpool_core)]
pub(super) fn changes(value: Changed) -> u64 {
    value.0
}

#[task(crate = podpool_core)]
pub fn reads_stdin() -> usize {
    std::io::stdin().lines().count()
}

#[task(crate = podpool_core)]
pub fn closes_stdout(path: String) {
    let file = std::fs::File::open(path).unwrap();
    rustix::stdio::dup2_stdout(&file).unwrap();
    rustix::stdio::dup2_stderr(&file).unwrap();
}

#[task(crate = podpool_core)]
pub fn what_it_is(ctx: &TaskContext) -> (String, String, u64, u32, bool) {
    (
        ctx.worker().to_owned(),
        format!("{:?}", podpool_core::init::role()),
        ctx.task().0,
        ctx.attempt().0,
        podpool_core::init::may_build() == Err(podpool_core::init::BuildRefused::NestedPool),
    )
}
