//! An `output` or a `skip_if` that says nothing sensible.
use podpool_macros::task;

fn done(day: &str) -> Option<u32> {
    day.parse().ok()
}

#[task(crate = podpool_core, output = "out/{day}.csv", skip_if = done)]
fn both(day: String) {
    drop(day);
}

#[task(crate = podpool_core, output = "out/{month}.csv")]
fn unknown_parameter(day: u32, hour: u32) {
    let _ = day + hour;
}

#[task(crate = podpool_core, output = "out/{day}.csv")]
fn no_parameter() {}

#[task(crate = podpool_core, output = "out/{}.csv")]
fn no_name(day: u32) {
    let _ = day;
}

#[task(crate = podpool_core, output = "out/{day.csv")]
fn no_end(day: u32) {
    let _ = day;
}

#[task(crate = podpool_core, output = "")]
fn empty() {}

fn main() {}
