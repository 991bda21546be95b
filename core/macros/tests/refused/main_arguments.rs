//! A `main` that nobody can call.
#[podpool_macros::main(crate = podpool)]
async fn main(arguments: Vec<String>) {}
