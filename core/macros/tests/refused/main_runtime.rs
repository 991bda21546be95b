//! Two runtimes for one `main`.
#[podpool_macros::main]
#[tokio::main]
async fn main() {}
