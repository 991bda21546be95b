//! Signatures that cannot be called from another process.
use podpool_macros::task;

struct Cleaner;

impl Cleaner {
    #[task(crate = podpool_core)]
    fn clean(&self, name: String) {}
}

#[task(crate = podpool_core)]
fn generic<T: Clone>(value: T) {}

#[task(crate = podpool_core)]
fn bounded<T>(value: T)
where
    T: Clone,
{
}

#[task(crate = podpool_core)]
const fn constant() {}

#[task(crate = podpool_core)]
unsafe fn dangerous() {}

#[task(crate = podpool_core)]
extern "C" fn foreign() {}

#[task(crate = podpool_core)]
fn pattern((a, b): (u8, u8), _: u8) {}

#[task(crate = podpool_core)]
fn conditional(#[cfg(unix)] a: u8) {}

#[task(crate = podpool_core)]
fn seventeen(
    a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8, n: u8, o: u8, p: u8,
    q: u16,
) {
}

#[task(crate = podpool_core)]
struct NoFunction;

fn main() {}
