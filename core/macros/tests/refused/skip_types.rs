//! Tasks whose types do not fit the way in which they are skipped.
use podpool_macros::task;

fn done(day: &str) -> Option<u32> {
    day.parse().ok()
}

#[task(crate = podpool_core, output = "out/{day}.csv")]
fn returns_a_number(day: u32) -> u32 {
    day
}

#[task(crate = podpool_core, output = "out/{day}.csv")]
fn returns_a_result_of_a_number(day: u32) -> Result<u32, String> {
    Ok(day)
}

#[task(crate = podpool_core, output = "out/{days}.csv")]
fn no_display(days: Vec<u32>) {
    drop(days);
}

#[task(crate = podpool_core, skip_if = done)]
fn another_output(day: String) -> String {
    day
}

#[task(crate = podpool_core, skip_if = done)]
fn another_argument(day: u32) -> u32 {
    day
}

fn main() {}
