//! An option that `main` does not have.
#[podpool_macros::main(threads = 4)]
async fn main() {}
