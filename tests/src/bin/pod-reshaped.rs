//! A worker whose `echo` has one argument more than the master's: no task of the master's run may run in this worker.

/// The suite's task by name, with another shape.
#[podpool::task(name = "podpool_tests::tasks::echo")]
fn echo(n: u64, twice: bool) -> u64 {
    if twice { 2 * n } else { n }
}

fn main() {
    podpool::init();
}
