//! Types that cannot travel.
use podpool_macros::task;

#[task(crate = podpool_core)]
fn text(name: &str, rows: Vec<&'static [u8]>) {}

#[task(crate = podpool_core)]
fn late_context(name: String, ctx: &TaskContext) {}

#[task(crate = podpool_core)]
fn mutable_context(ctx: &mut TaskContext) {}

#[task(crate = podpool_core)]
fn anonymous(names: impl Iterator<Item = String>) -> impl Sized {}

#[task(crate = podpool_core)]
fn inferred(name: _) -> u8 {
    name
}

#[task(crate = podpool_core)]
fn borrowed_output() -> &'static str {
    ""
}

#[task(crate = podpool_core)]
fn borrowed_result() -> Result<&'static str, String> {
    Ok("")
}

fn main() {}
