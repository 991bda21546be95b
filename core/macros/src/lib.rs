//! The attributes of podpool: `#[task]` makes a function callable in another process, `#[main]` starts a program.
//!
//! Users reach them as `podpool::task` and `podpool::main`.

use proc_macro::TokenStream;

mod docs;
mod entry;
mod options;
mod signature;
mod task;
mod units;

/// Makes a function a task.
///
/// The function's name becomes a constructor: it takes the same arguments and returns a `Call`, which runs when it is
/// submitted to a pool, in another process. Arguments and output are owned values that implement serde's `Serialize`
/// and `Deserialize`. The function may be `async`, may take `ctx: &TaskContext` first, and may return a `Result`,
/// whose error is anything that converts into `Box<dyn Error + Send + Sync>`.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `retries = 3` | attempts after the first when the task itself fails | 0 |
/// | `retry_on = path` | `fn(&E) -> bool`: whether another attempt makes sense | always |
/// | `backoff = "1s..60s"` | the first and the longest delay between attempts | `"1s..60s"` |
/// | `timeout = "10m"` | longest time of one attempt (`ms`, `s`, `m`, `h`, `d`, or `1h30m`) | none |
/// | `memory = "512MiB"` | bytes that the slot's process may have resident while it runs the task, a multiple or a plain number; looked at every 50 ms, and past it the slot is killed. `Builder::slot_memory` limits every slot, with a stop by the kernel behind it | no limit |
/// | `pack = false` | whether several calls may travel in one batch | `true` |
/// | `finish_on_lost_lease` | whether an execution goes on when its lease is lost | `false` |
/// | `name = "…"` | the task's name | `crate::module::function` |
/// | `version = "…"` | part of the fingerprint; needed where the types' shape cannot be traced | none |
/// | `fallible` | the return type is a `Result`, though it is not called so | by name |
/// | `crate = path` | where podpool is found | `::podpool` |
///
/// # Errors
/// References, `impl Trait`, generics and `self` are refused where they stand.
#[proc_macro_attribute]
pub fn task(attribute: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(attribute.into(), &item.into()).into()
}

/// Starts a program that uses podpool: calls `podpool::init()` first, then runs the body.
///
/// A worker or a slot never returns from `init()`, so the body is the master's alone. An `async fn main` runs on a
/// multi-threaded tokio runtime; for another runtime write its attribute above this one. `setup = path` names a function that runs in master, worker and slot alike;
/// `crate = path` says where podpool is found.
///
/// The program exits with what `main` returned. Where a signal ended a pool and `main` returned without an error all the
/// same, it exits with 130 (Ctrl-C) or 143 (SIGTERM), as a program that the signal ended.
///
/// # Errors
/// A `main` with arguments or generics is refused.
#[proc_macro_attribute]
pub fn main(attribute: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(attribute.into(), &item.into()).into()
}
