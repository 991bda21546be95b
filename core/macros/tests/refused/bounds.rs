//! Types that lack what a task needs: the error stands at the type.
use podpool_macros::task;
use std::marker::PhantomData;
use std::rc::Rc;

#[task(crate = podpool_core)]
fn thread_bound(_value: PhantomData<*const u8>) {}

#[task(crate = podpool_core)]
fn counted(_value: Rc<u8>) {}

mod mine {
    pub(crate) type Result = u8;
}

#[task(crate = podpool_core)]
fn not_a_result() -> mine::Result {
    1
}

#[task(crate = podpool_core, retry_on = judge)]
fn judged_as_another() -> Result<u8, String> {
    Ok(1)
}

fn judge(_: &u8) -> bool {
    true
}

fn main() {}
