//! A worker whose `echo` takes more than the master's: nothing of its run may run here.

/// The suite's task by name, with another shape.
#[podpool::task(name = "podpool_tests::tasks::echo")]
fn echo(n: u64, twice: bool) -> u64 {
    if twice { 2 * n } else { n }
}

fn main() {
    podpool::init();
}
