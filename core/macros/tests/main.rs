//! What `#[main]` writes: `init` first, then the body.

use std::cell::RefCell;

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
        /// Its drop is a step, so that its place can be seen.
        pub(crate) struct Farewell;

        impl Drop for Farewell {
            fn drop(&mut self) {
                crate::step("farewell");
            }
        }

        pub(crate) fn block_on_main<F: Future>(main: F) -> F::Output {
            crate::step("block_on");
            tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime")
                .block_on(main)
        }
    }
}

fn setup() {
    step("setup");
}

#[start(crate = crate::pool)]
async fn asynchronous() -> Result<u8, std::num::ParseIntError> {
    step("body");
    let number = "7".parse::<u8>()?;
    Ok(number)
}

#[start(crate = crate::pool, setup = setup)]
async fn with_setup() {
    step("body");
}

#[start(crate = crate::pool, setup = crate::setup)]
fn synchronous() -> std::process::ExitCode {
    step("body");
    std::process::ExitCode::SUCCESS
}

#[start(crate = pool)]
fn early() -> Option<u8> {
    step("body");
    let none: Option<u8> = None;
    none?;
    Some(1)
}

#[test]
fn init_comes_first_and_farewell_last() {
    assert_eq!(asynchronous(), Ok(7));
    assert_eq!(steps(), ["init", "block_on", "body"]);
    with_setup();
    assert_eq!(steps(), ["init_with", "setup", "block_on", "body"]);
    assert_eq!(synchronous(), std::process::ExitCode::SUCCESS);
    assert_eq!(steps(), ["init_with", "setup", "body", "farewell"]);
    assert_eq!(early(), None);
    assert_eq!(steps(), ["init", "body", "farewell"]);
}
