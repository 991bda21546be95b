//! A program without `init()`: the program builds a pool of processes all the same, and prints the outcome.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use podpool::PodPoolExecutor;

#[tokio::main]
async fn main() {
    println!("main");
    let built = PodPoolExecutor::builder().max_workers(4).build().await;
    match built {
        Ok(_) => println!("it was built"),
        Err(error) => println!("{error}"),
    }
}
