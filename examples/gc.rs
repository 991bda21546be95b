//! Lists what runs left behind whose masters were killed, and removes it where that is asked for.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use anyhow::bail;
use clap::{Args, Parser};
use podpool::gc::{self, Places, Which};
use podpool::{RunId, RunName};

/// Lists what runs left behind whose masters were killed, and removes it with --remove.
///
/// Namespace, project and payload store are read from the environment, as a pool reads them.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    which: Chosen,
    /// Removes what is listed, also of a running run.
    #[arg(long)]
    remove: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Chosen {
    /// The run of this id, such as nightly-5c0x8m2r7kqd.
    #[arg(long, value_parser = RunId::new)]
    run: Option<RunId>,
    /// All runs of this name.
    #[arg(long, value_parser = RunName::new)]
    name: Option<RunName>,
    /// All runs whose deadline is over.
    #[arg(long)]
    past_deadline: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { which, remove } = Options::parse();
    let which = match (which.run, which.name) {
        (Some(run), _) => Which::Run(run),
        (_, Some(name)) => Which::Named(name),
        _ => Which::PastDeadline,
    };
    let places = Places::new();
    if !remove {
        for leftover in gc::list(&places, &which).await? {
            println!("{leftover}");
        }
        return Ok(());
    }
    let done = gc::remove(&places, &which).await?;
    for leftover in &done.removed {
        println!("removed {leftover}");
    }
    for (leftover, why) in &done.failed {
        println!("still there: {leftover}: {why}");
    }
    match done.failed.len() {
        0 => Ok(()),
        left => bail!("{left} things are still there"),
    }
}
