//! The code that `#[task]` writes, in a crate that forbids unsafe code and denies warnings.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, clippy::pedantic)]

use std::fmt;
use std::time::Duration;

use podpool_core::commit::{CommitError, Committed};
use podpool_core::error::AttemptReport;
use podpool_core::outcome::Cause;
use podpool_core::permanent;
use podpool_core::registry::Registry;
use podpool_core::signature::Parameter;
use podpool_core::task::{Call, TaskContext, TaskSpec};
use podpool_macros::task;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A nested argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What is bought.
    pub symbol: String,
    /// How much, and at which price, if limited.
    pub kind: Kind,
}

/// An enum within.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    /// At once.
    Market(u32),
    /// At this price.
    Limit {
        /// How much.
        count: u32,
        /// The price.
        price: f64,
    },
}

/// The task's own error.
#[derive(Debug)]
pub struct Refused(u32);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// Adds; this sentence goes to the constructor.
///
/// And to the registration.
#[task(crate = podpool_core)]
pub fn add(
    one: u32,
    /// What is added.
    mut other: u32,
) -> u32 {
    other += one;
    other
}

#[task(crate = podpool_core)]
async fn describe(ctx: &TaskContext, order: Order) -> String {
    tokio::task::yield_now().await;
    let key = ctx.key().unwrap_or("none");
    format!("{} {:?} {key}", order.symbol, order.kind)
}

#[task(crate = podpool_core)]
fn nothing() {}

#[task(crate = podpool_core)]
fn ignores_its_context(_: &podpool_core::task::TaskContext, r#type: u8) -> u8 {
    r#type
}

#[task(crate = podpool_core, retry_on = small)]
fn picky(number: u32) -> Result<u32, Refused> {
    if number == 0 {
        Ok(number)
    } else {
        Err(Refused(number))
    }
}

fn small(error: &Refused) -> bool {
    error.0 < 10
}

#[task(crate = podpool_core)]
async fn wordy(number: String) -> anyhow::Result<u32> {
    use anyhow::Context as _;
    tokio::task::yield_now().await;
    let number: u32 = number.parse().context("reading the number")?;
    if number == 0 {
        Err(permanent(Refused(number)))?;
    }
    Ok(number)
}

type Outcome = Result<u8, &'static str>;

#[task(crate = podpool_core, fallible)]
fn by_another_name(number: u8) -> Outcome {
    Err(["zero", "one"][usize::from(number)])
}

#[task(crate = podpool_core)]
fn formats() -> fmt::Result {
    Err(fmt::Error)
}

#[task(
    crate = podpool_core,
    name = "an/other",
    version = "7",
    retries = 3,
    timeout = "1h30m",
    backoff = "250ms..2m",
    memory = "512MiB",
    pack = false,
    finish_on_lost_lease,
)]
fn configured(value: serde_json::Value) {
    drop(value);
}

#[task(crate = podpool_core)]
#[expect(
    clippy::too_many_arguments,
    clippy::many_single_char_names,
    reason = "the most that a task takes"
)]
fn sixteen(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
    m: u8,
    n: u8,
    o: u8,
    p: String,
) -> String {
    format!(
        "{}{p}",
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o]
            .iter()
            .map(|x| u32::from(*x))
            .sum::<u32>()
    )
}

/// The square of a small number is known without the body.
#[task(crate = podpool_core, skip_if = known_square)]
fn square(ctx: &TaskContext, number: u32, unit: String) -> Result<u32, Refused> {
    assert!(ctx.is_forced() || number > 2, "the body ran for {unit}");
    number.checked_mul(number).ok_or(Refused(number))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "arguments are lent")]
fn known_square(number: &u32, unit: &str) -> Option<u32> {
    assert!(unit != "none", "no unit");
    (*number <= 2).then(|| number * number)
}

#[task(crate = podpool_core, skip_if = always_there)]
async fn never_runs() -> String {
    tokio::task::yield_now().await;
    "the body ran".to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "it always skips")]
fn always_there() -> Option<String> {
    Some("it is there".to_owned())
}

#[task(crate = podpool_core, output = "{directory}/{{{type}}}-{number:>03}.txt")]
async fn write_file(
    ctx: &TaskContext,
    directory: String,
    number: u32,
    r#type: String,
) -> anyhow::Result<()> {
    anyhow::ensure!(r#type != "bad", "a bad type for {number} in {directory}");
    ctx.commit_once(ctx.output()?, r#type).await?;
    Ok(())
}

#[task(crate = podpool_core, output = "{directory}/marker")]
fn write_marker(ctx: &TaskContext, directory: String) -> Result<(), CommitError> {
    let written = ctx.commit_once_blocking(ctx.output()?, directory)?;
    assert!(
        written == Committed::Written || ctx.is_forced(),
        "the body ran"
    );
    Ok(())
}

mod inner {
    use super::task;

    /// Tasks call tasks, and names resolve as they do in the module.
    #[task(crate = podpool_core)]
    pub(crate) async fn outer(number: u32) -> u32 {
        super::add(number, 1).run_here().await.unwrap_or_default()
    }
}

/// Runs a call here. Of its error it gives the report of the one attempt.
fn run<T: DeserializeOwned + 'static>(call: Call<T>) -> Result<T, Box<AttemptReport>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let ran = runtime.expect("a runtime").block_on(call.run_here());
    ran.map_err(|error| Box::new(error.attempts()[0].clone()))
}

fn spec<T>(call: Call<T>) -> &'static TaskSpec {
    call.into_parts().spec
}

#[test]
fn bodies_run_with_the_arguments_of_their_calls() {
    assert_eq!(run(add(2, 3)), Ok(5));
    assert_eq!(run(nothing()), Ok(()));
    assert_eq!(run(ignores_its_context(7)), Ok(7));
    assert_eq!(run(inner::outer(1)), Ok(2));
    assert_eq!(
        run(sixteen(
            1,
            1,
            1,
            1,
            1,
            1,
            1,
            1,
            1,
            1,
            1,
            1,
            1,
            1,
            1,
            "x".into()
        )),
        Ok("15x".to_owned())
    );
    let order = Order {
        symbol: "BTC".into(),
        kind: Kind::Limit {
            count: 2,
            price: 0.5,
        },
    };
    assert_eq!(
        run(describe(order).key("k")),
        Ok("BTC Limit { count: 2, price: 0.5 } k".to_owned())
    );
}

#[test]
fn errors_become_failures() {
    assert_eq!(run(picky(0)), Ok(0));
    for (number, retryable) in [(9, true), (10, false)] {
        let failure = run(picky(number)).unwrap_err();
        assert_eq!(failure.cause, Cause::Failed);
        assert_eq!(failure.message, format!("refused {number}"));
        assert_eq!(failure.retryable, retryable);
    }
    let failure = run(wordy("x".into())).unwrap_err();
    assert_eq!(failure.message, "reading the number");
    assert_eq!(failure.chain, ["invalid digit found in string"]);
    assert!(failure.retryable);
    let failure = run(wordy("0".into())).unwrap_err();
    assert_eq!(
        (failure.message.as_str(), failure.retryable),
        ("refused 0", false)
    );
    assert_eq!(run(by_another_name(1)).unwrap_err().message, "one");
    assert_eq!(run(formats()).unwrap_err().cause, Cause::Failed);
}

#[test]
fn a_task_whose_work_is_done_is_skipped_unless_its_call_is_forced() {
    assert_eq!(run(square(2, "m".into())), Ok(4));
    assert_eq!(run(square(2, "m".into()).force()), Ok(4));
    assert_eq!(run(square(3, "m".into())), Ok(9));
    assert!(run(square(1 << 20, "m".into())).is_err());
    assert_eq!(run(never_runs()), Ok("it is there".to_owned()));
    assert_eq!(run(never_runs().force()), Ok("the body ran".to_owned()));
    let panicked = std::panic::catch_unwind(|| run(square(2, "none".into())));
    assert!(
        panicked.is_err(),
        "a panic of the function is one of the body"
    );
}

#[test]
fn a_task_whose_output_exists_is_skipped_unless_its_call_is_forced() {
    let directory = std::env::temp_dir().join(format!("podpool-macros-{}", std::process::id()));
    let path = directory.to_str().expect("a path in UTF-8").to_owned();
    let write = |kind: &str| write_file(path.clone(), 7, kind.to_owned());
    assert!(run(write("bad")).is_err());
    assert_eq!(run(write("good")), Ok(()));
    let found = std::fs::read_to_string(directory.join("{good}-007.txt"));
    assert_eq!(found.expect("the output"), "good");
    std::fs::write(directory.join("{bad}-007.txt"), "").expect("a file");
    assert_eq!(run(write("bad")), Ok(()), "skipped");
    assert!(run(write("bad").force()).is_err());
    for call in [
        write_marker,
        |path| write_marker(path),
        |path| write_marker(path).force(),
    ] {
        assert_eq!(run(call(path.clone())), Ok(()));
    }
    std::fs::remove_dir_all(directory).expect("an end");
}

#[test]
fn options_reach_the_specification() {
    let spec = spec(configured(serde_json::Value::Null));
    assert_eq!((spec.name, spec.version), ("an/other", Some("7")));
    let options = spec.options;
    assert_eq!(options.retries, 3);
    assert_eq!(options.timeout, Some(Duration::from_mins(90)));
    assert_eq!(options.backoff.initial, Duration::from_millis(250));
    assert_eq!(options.backoff.max, Duration::from_mins(2));
    assert_eq!(options.memory, Some(512 << 20));
    assert!(!options.pack && options.finish_on_lost_lease);
}

#[test]
fn a_specification_has_the_names_of_its_parameters_and_the_documentation() {
    let signature = &spec(add(1, 2)).signature;
    let expected = "Adds; this sentence goes to the constructor.\n\nAnd to the registration.";
    assert_eq!(signature.docs, expected);
    let named = Parameter::new;
    assert_eq!(
        signature.parameters,
        [named("one", ""), named("other", "What is added.")]
    );
    let signature = &spec(nothing()).signature;
    assert_eq!((signature.docs, signature.parameters.len()), ("", 0));
    let described = spec(described(1)).signature.parameters;
    assert_eq!(
        described,
        [named("type", "")],
        "the context does not travel"
    );
}

#[task(crate = podpool_core)]
fn described(_: &TaskContext, r#type: u32) -> u32 {
    r#type
}

#[test]
fn a_task_can_be_called_with_json() {
    let call = |text| Call::from_json(spec(add(1, 2)), text);
    let run_json = |text| run(call(text).unwrap()).unwrap().into_string();
    assert_eq!(run_json(r#"{"other": 3, "one": 4}"#), "7");
    assert_eq!(run_json("[1, 2]"), "3");
    let error = call(r#"{"one": 4}"#).unwrap_err().to_string();
    assert_eq!(error, "the argument \"other\" is missing");
    let spec = spec(describe(Order {
        symbol: "BTC".into(),
        kind: Kind::Market(1),
    }));
    let text = r#"{"order":{"symbol":"BTC","kind":{"Limit":{"count":2,"price":0.5}}}}"#;
    let call = Call::from_json(spec, text).unwrap().key("k");
    let shown = run(call).unwrap();
    assert_eq!(shown.as_str(), r#""BTC Limit { count: 2, price: 0.5 } k""#);
    let arguments = Call::from_json(spec, text).unwrap().into_parts().arguments;
    let json = &spec.signature.json;
    let shown = json.arguments_to(spec.signature.parameters, &arguments.unwrap());
    assert_eq!(shown.unwrap(), text);
}

#[test]
fn a_specification_has_the_place_of_its_function() {
    let spec = spec(add(1, 2));
    assert_eq!(spec.name, "task::add");
    let source = include_str!("task.rs");
    let line = source.lines().position(|l| l.contains("pub fn add("));
    assert_eq!(Some(spec.line as usize), line.map(|l| l + 1));
    assert!(spec.file.ends_with("tests/task.rs"), "{}", spec.file);
}

#[test]
fn the_registry_holds_every_task_by_name_and_index() {
    let registry = Registry::global().expect("no duplicates");
    let names: Vec<&str> = registry.iter().map(|spec| spec.name).collect();
    assert!(names.is_sorted());
    assert!(names.contains(&"task::inner::outer") && names.contains(&"an/other"));
    assert_eq!(registry.len(), 17);
    for (index, name) in (0..).zip(&names) {
        let spec = registry.find(name).expect("known");
        assert_eq!(spec.index.get(), Some(&index));
        assert!(std::ptr::eq(spec, registry.get(index).expect("dense")));
    }
    assert!(std::ptr::eq(
        spec(add(1, 2)),
        registry.find("task::add").expect("known")
    ));
    assert!(registry.get(17).is_none());
    let unknown = registry.find("task::nowhere").unwrap_err().to_string();
    assert!(unknown.contains("use my_tasks as _;"), "{unknown}");
    assert_eq!(registry.digest(), registry.digest());
    assert!(registry.trace().is_ok());
    let shape = (spec(add(1, 2)).shape)().expect("plain");
    assert_eq!(shape.as_str(), "(u32,u32)->u32");
}

/// Its parameter is part of the path and of nothing else, which is no unused variable.
#[task(crate = podpool_core, output = "out/{day}.csv")]
fn only_in_its_path(day: u32) {}

#[test]
fn a_parameter_that_the_output_names_alone_is_used() {
    drop(only_in_its_path(1));
    let spec = Registry::global().unwrap().find("task::only_in_its_path");
    assert_eq!(spec.unwrap().signature.parameters.len(), 1);
}
