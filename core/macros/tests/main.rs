//! What `#[main]` writes: `init` first, then the body.

use std::cell::RefCell;
use std::process::ExitCode;

use podpool_macros::main as start;

thread_local! {
    static STEPS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

fn step(step: &'static str) {
    STEPS.with_borrow_mut(|steps| steps.push(step));
}

fn steps() -> Vec<&'static str> {
    STEPS.take()
}

/// Stands in for the executor crate.
mod pool {
    pub(crate) fn init() {
        super::step("init");
    }

    pub(crate) fn init_with(setup: impl FnOnce()) {
        super::step("init_with");
        setup();
    }

    pub(crate) mod __private {
        use std::process::{ExitCode, Termination};

        pub(crate) fn run_main<T: Termination>(main: impl FnOnce() -> T) -> ExitCode {
            let ended = main();
            crate::step("left");
            ended.report()
        }

        pub(crate) fn run_async_main<F>(main: impl FnOnce() -> F) -> ExitCode
        where
            F: Future<Output: Termination>,
        {
            crate::step("block_on");
            run_main(|| {
                tokio::runtime::Builder::new_current_thread()
                    .build()
                    .expect("a runtime")
                    .block_on(main())
            })
        }
    }
}

fn setup() {
    step("setup");
}

#[start(crate = crate::pool)]
async fn asynchronous() -> Result<(), std::num::ParseIntError> {
    step("body");
    "7".parse::<u8>()?;
    Ok(())
}

#[start(crate = crate::pool, setup = setup)]
async fn with_setup() {
    step("body");
}

#[start(crate = crate::pool, setup = crate::setup)]
fn synchronous() -> ExitCode {
    step("body");
    ExitCode::from(3)
}

#[start(crate = pool)]
fn early() -> Result<(), std::num::ParseIntError> {
    step("body");
    "x".parse::<u8>()?;
    step("too far");
    Ok(())
}

#[test]
fn init_comes_first_and_what_is_left_is_waited_for_last() {
    assert_eq!(asynchronous(), ExitCode::SUCCESS);
    assert_eq!(steps(), ["init", "block_on", "body", "left"]);
    with_setup();
    assert_eq!(steps(), ["init_with", "setup", "block_on", "body", "left"]);
    assert_eq!(synchronous(), ExitCode::from(3));
    assert_eq!(steps(), ["init_with", "setup", "body", "left"]);
    assert_eq!(early(), ExitCode::FAILURE);
    assert_eq!(steps(), ["init", "body", "left"]);
}
