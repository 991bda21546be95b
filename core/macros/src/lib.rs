//! The attributes of podpool: `#[task]` makes a function callable in another process, `#[main]` starts a program.
//!
//! Users reach them as `podpool::task` and `podpool::main`.

use proc_macro::TokenStream;

mod docs;
mod entry;
mod options;
mod output;
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
/// ```
/// # extern crate podpool_core as podpool;
/// # mod example {
/// # use podpool_macros as podpool;
/// /// Cleans the prices of an asset.
/// #[podpool::task(retries = 2, timeout = "10m")]
/// async fn clean(
///     /// The symbol of the asset, such as `BTC`.
///     asset: String,
/// ) -> Result<usize, std::num::ParseIntError> {
///     asset.parse()
/// }
/// # }
/// # fn main() {}
/// ```
///
/// | option | meaning | default |
/// |---|---|---|
/// | `retries = 3` | attempts after the first when the task itself fails: by an error, a panic or its timeout | 0 |
/// | `retry_on = path` | `fn(&E) -> bool`: whether another attempt makes sense | always |
/// | `backoff = "1s..60s"` | the first and the longest delay between attempts; one time, such as `"5s"`, is both | `"1s..60s"` |
/// | `timeout = "10m"` | longest time of one attempt (`ms`, `s`, `m`, `h`, `d`, or `1h30m`) | none |
/// | `memory = "512MiB"` | bytes that the slot's process may have resident while it runs the task, a multiple or a plain number; looked at every 50 ms, and past it the slot is killed. `Builder::slot_memory` limits every slot, with a stop by the kernel behind it | no limit |
/// | `skip_if = path` | `fn(&A, &B, …) -> Option<T>`, with references to the arguments, and the type of the output: it runs in the slot before the body, and where it gives a value, that is the result and the body does not run | the body runs |
/// | `output = "out/{day}.csv"` | for a task that returns `()`: where this path or URL exists the body does not run. Names of parameters in braces are replaced as by `format!`; what an argument displays becomes part of the path as it is | none |
/// | `pack = false` | whether several calls may travel in one batch | `true` |
/// | `finish_on_lost_lease` | whether an execution goes on when its lease is lost | `false` |
/// | `name = "…"` | the task's name | `crate::module::function` |
/// | `version = "…"` | part of the fingerprint; needed where the types' shape cannot be traced | none |
/// | `fallible` | the return type is a `Result`, though it is not called so | by name |
/// | `crate = path` | where podpool is found | `::podpool` |
///
/// # Retries
///
/// The delay before the second attempt is the first number of `backoff`; each further delay is twice as long, up to the
/// second number. A random part of up to one half is taken off each delay, so that tasks which failed together are not
/// tried again together.
///
/// Only errors, panics and timeouts count against `retries` and wait for the `backoff`. An error that
/// `podpool::permanent` marks is not tried again. Other ends have budgets of their own, which no option changes:
///
/// | the execution ended because | further attempts | when |
/// |---|---|---|
/// | its process crashed, and the task was the cause | 2 | at once |
/// | its process crashed, and another task may have been the cause | no charge | at once, alone in a fresh slot |
/// | it was out of memory | 1, with the same limit | at once |
/// | its worker ended while the task alone ran in it | 2 | when the lease ends |
/// | its worker was lost in another way | 99 | when the lease ends |
///
/// # Types
///
/// The program compares the types of each task with those of its workers. So `build()` traces the types, and refuses
/// some with an error that names the task and the type:
///
/// - A type that asks for the type of the next value cannot travel, because the encoding does not hold it:
///   `serde_json::Value`, and enums and structs with `#[serde(untagged)]`, `#[serde(tag = "…")]` or
///   `#[serde(flatten)]`. Send it as text, for example by `serde_json::to_string`. A `version` lets the pool start, but
///   a call that carries such a value is `Rejected`.
/// - A type that does not read what it writes, as with `skip_serializing_if`: remove the attribute, or send text.
/// - A type that checks what it reads and accepts none of the samples of the trace: state `version = "1"`, and raise it
///   when the type changes.
///
/// # Names and documentation
///
/// A task is called `crate::module::function`, as `module_path!()` writes it. The name appears in errors and
/// statistics, and calls by `podpool::json` use it. Renaming the crate or moving the function changes the name;
/// `name = "…"` gives one that stays. Two tasks of one name are an error of `build()`.
///
/// Documentation of the function, and `///` on its parameters, is in the list of `podpool::json::tasks`.
///
/// # Where it runs
///
/// A slot runs one task at a time. A plain function runs on the slot's thread (a stack of 8 MiB), outside of any
/// runtime: it may block, and `tokio::spawn` panics there. An async function is driven by the slot's own
/// single-threaded tokio runtime, with I/O and timers. What it spawns and leaves behind goes on only while a later
/// async task of the slot runs.
///
/// A slot is a process of the same executable, which runs `main` up to `init()` and no further. On one machine it has
/// the environment of the program and the working directory that the program had when the slot started; in a pod both
/// are the container's.
///
/// # Dependencies
///
/// A crate with tasks needs `podpool` alone; `serde` with the feature `derive` for types of its own in arguments and
/// outputs; and `tokio` only if its own code names it.
///
/// # Skipped tasks
/// A task with `skip_if` or `output` is skipped where its work is done: `TaskFuture::was_skipped` and the event `Ended`
/// show that. `Call::force` runs the body in any case, and `TaskContext::is_forced` tells the body. A panic in the
/// function is a failure of the attempt, as one of the body. `TaskContext::output` is the path for
/// `TaskContext::commit_once`.
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
/// The program exits with what `main` returned: nothing, a `Result`, an `ExitCode`, a `Result<ExitCode, E>`, or any
/// other type of the trait `Termination`. Where a signal ended a pool and `main` returned success all the same (`()`,
/// `Ok(())`, `ExitCode::SUCCESS`), it exits with 130 (Ctrl-C) or 143 (SIGTERM), as a program that the signal ended. Any
/// other code stays as it is. After a signal the shutdown of a pool returns `ShutdownError::Interrupted`: a `main` that
/// returns this by `?` exits with 1. `Builder::signals` has an example.
///
/// # Errors
/// A `main` with arguments or generics is refused.
#[proc_macro_attribute]
pub fn main(attribute: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(attribute.into(), &item.into()).into()
}
