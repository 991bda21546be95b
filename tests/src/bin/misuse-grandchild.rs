//! A program that a task starts: the program inherits the slot's environment, and must run as an ordinary master.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use podpool_tests::faults::tasks::{echo, run_program};
use podpool_tests::faults::{built, describe, end};

#[podpool::main]
async fn main() {
    let pool = built(describe(1)).await;
    let inherited = std::env::var("PODPOOL_ROLE").is_ok();
    if std::env::args().nth(1).as_deref() == Some("grandchild") {
        let result = pool.submit(echo(5)).await.expect("a result");
        println!(
            "{:?}, inherited {inherited}, result {result}",
            podpool::role()
        );
    } else {
        let program = std::env::current_exe().expect("the program's name");
        let heard = pool
            .submit(run_program(program, vec!["grandchild".into()]))
            .await;
        println!(
            "heard {}",
            heard.expect("the grandchild's output").trim_end()
        );
    }
    end(pool).await;
}
