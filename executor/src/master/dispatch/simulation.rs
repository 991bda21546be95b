//! A seeded simulation of a whole run on a virtual clock: the master's state and several workers' states, with queues
//! that duplicate, delay, lose, forget and replay, a fleet that reports departures or does not, other masters and runs,
//! and slots whose tasks fail, crash and hang.
//!
//! Whatever happens, every task ends once and as its script says: no fault of a queue, another task or a worker is
//! ever charged to a task.
//!
//! One seed gives one trace, byte for byte, in every process. `SIMULATION_SEEDS` is how many seeds are run,
//! `SIMULATION_SEED` runs one of them and prints its trace.

mod calls;
mod duties;
mod end;
mod events;
mod fleet;
mod queue;
mod restarts;
mod script;
mod settings;
mod site;
mod slots;
mod strangers;
mod subscriber;
mod trace;
mod verdict;
mod worker;
mod world;

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, iter, thread};

use podpool_core::panics::panic_text;

use self::end::End;
use self::trace::Trace;
use self::world::World;

/// Failures after which no more seeds are run.
const ENOUGH: u64 = 4;
/// Seeds of an ordinary test run. CI runs thousands, optimised, in steps of their own.
// Without optimisation 200 took most of the time of all tests of this library.
const SEEDS: u64 = 50;

/// A number that a person has set.
fn setting(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// A world that a seed makes.
trait Simulated {
    /// The world of a seed, which keeps its trace or not.
    fn new(seed: u64, keep: bool) -> Self;
    /// Runs it to its end. The error tells what went wrong.
    fn run(&mut self) -> Result<(), String>;
    fn trace(&self) -> &Trace;
    /// What happened to it, in short.
    fn kind(&self) -> String;
}

/// Runs a world to its end. A panic of a state, or of what plays its surroundings, is a failure like any other.
fn outcome(world: &mut impl Simulated) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| world.run()))
        .unwrap_or_else(|panic| Err(panic_text(panic).replace('\n', ";")))
}

/// Runs a seed; its failure comes with its trace.
fn run<W: Simulated>(seed: u64) -> Result<u64, String> {
    let mut world = W::new(seed, false);
    match outcome(&mut world) {
        Ok(()) => Ok(world.trace().digest()),
        Err(why) => {
            let mut again = W::new(seed, true);
            let second = outcome(&mut again).err();
            let same =
                again.trace().digest() == world.trace().digest() && second.as_ref() == Some(&why);
            let lines = again.trace().lines().join("\n");
            Err(format!(
                "{lines}\nseed {seed} ({}, replayed {}): {why}",
                world.kind(),
                if same { "exactly" } else { "DIFFERENTLY" }
            ))
        }
    }
}

/// Runs so many seeds, on every processor, until enough fail. The failures, in no order.
fn failures<W: Simulated>(seeds: u64) -> Vec<String> {
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        let mine = iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let go_on = |seed: &u64| *seed < seeds && failed.load(Ordering::Relaxed) < ENOUGH;
        let failures = mine
            .take_while(go_on)
            .filter_map(|seed| run::<W>(seed).err());
        let count = |_: &String| _ = failed.fetch_add(1, Ordering::Relaxed);
        failures.inspect(count).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        ended.collect()
    })
}

/// Runs the seeds that a person wants: the variable `NAME_SEED` names one, `NAME_SEEDS` how many.
fn all_seeds<W: Simulated>(name: &str, ordinary: u64) {
    if let Some(seed) = setting(&format!("{name}_SEED")) {
        let mut world = W::new(seed, true);
        let outcome = outcome(&mut world);
        let lines = world.trace().lines().iter();
        lines.for_each(|line| println!("{line}"));
        println!("seed {seed}: digest {:016x}", world.trace().digest());
        return outcome.unwrap();
    }
    let seeds = setting(&format!("{name}_SEEDS")).unwrap_or(ordinary);
    let failures = failures::<W>(seeds);
    let which: Vec<_> = failures.iter().filter_map(|it| it.lines().last()).collect();
    assert!(
        failures.is_empty(),
        "{}\n{} of {seeds} seeds fail:\n{}",
        failures[0],
        failures.len(),
        which.join("\n")
    );
}

#[test]
fn every_task_ends_once_as_its_script_says_and_nothing_stays_held() {
    all_seeds::<World>("SIMULATION", SEEDS);
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in 0..3 {
        assert_eq!(run::<World>(seed), run::<World>(seed));
    }
}

/// Each way to end is met, and each fault.
#[test]
fn the_seeds_reach_every_end() {
    let worlds: Vec<World> = (0..200).map(|seed| World::new(seed, false)).collect();
    for end in End::ALL {
        let met = worlds.iter().any(|world| world.end == end);
        assert!(met, "{end:?}");
    }
    let limits = || worlds.iter().map(|world| world.master.settings().limits);
    assert!(limits().any(|limits| limits.deadline.is_some()));
    assert!(limits().any(|limits| limits.failures.is_some()));
}
