//! A master with a controlling terminal, whose task reads from it. Standard input must be a terminal.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Command;

use podpool_tests::faults::{built, describe, end};

/// Reads from the terminal; gives the number of the error.
#[podpool::task]
fn reads_the_terminal() -> Result<Option<i32>, std::io::Error> {
    match File::open("/dev/tty") {
        Ok(mut terminal) => terminal.read(&mut [0]).map(|_| None),
        Err(error) => Ok(error.raw_os_error()),
    }
}

/// The process id of the slot, its process group and its session.
#[podpool::task]
fn group() -> (u32, i32, i32) {
    let number = |pid: rustix::process::Pid| pid.as_raw_nonzero().get();
    (
        std::process::id(),
        number(rustix::process::getpgrp()),
        rustix::process::getsid(None).map_or(0, number),
    )
}

#[podpool::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().nth(1).as_deref() == Some("take") {
        // Only the leader of a session can take a terminal. `exec` keeps session and terminal, so the program that
        // is started here has a controlling terminal before its first instruction, as a program of a shell has.
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        return Err(Command::new(std::env::current_exe()?).exec().into());
    }
    println!("terminal {}", File::open("/dev/tty").is_ok());
    let pool = built(describe(1)).await;
    let (process, group, session) = pool.submit(group()).await?;
    println!(
        "leads {}",
        group == session && i64::from(group) == i64::from(process)
    );
    println!("error {:?}", pool.submit(reads_the_terminal()).await?);
    end(pool).await;
    Ok(())
}
