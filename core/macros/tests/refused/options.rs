//! Options that say nothing sensible.
use podpool_macros::task;

#[task(crate = podpool_core, retry = 3)]
fn unknown() {}

#[task(crate = podpool_core, retries = 1, retries = 2)]
fn twice() {}

#[task(crate = podpool_core, retries = "3")]
fn text_for_a_number() {}

#[task(crate = podpool_core, retries = -1)]
fn negative() {}

#[task(crate = podpool_core, retries)]
fn no_value() {}

#[task(crate = podpool_core, timeout = "10 minutes")]
fn long_unit() {}

#[task(crate = podpool_core, timeout = 600)]
fn bare_number() {}

#[task(crate = podpool_core, backoff = "60s..1s")]
fn backwards() {}

#[task(crate = podpool_core, memory = "lots")]
fn lots() {}

#[task(crate = podpool_core, memory = 0)]
fn none() {}

#[task(crate = podpool_core, name = "")]
fn nameless() {}

#[task(crate = podpool_core, pack = 1)]
fn number_for_a_flag() {}

#[task(crate = podpool_core, retry_on = always)]
fn infallible() {}

fn main() {}
