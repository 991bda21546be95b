//! A fuzz target: whatever text or number a setting has, it is refused by its name or it works.

use bolero::produce;
use podpool_core::id::{RunId, RunName};

use super::*;
use crate::client::options::Isolation;
use crate::master::command::ShutdownBehavior;

/// Inputs of the target in `cargo test`; `BOLERO_RANDOM_ITERATIONS` and `BOLERO_RANDOM_TEST_TIME_MS` set another number.
const INPUTS: usize = 300;

/// Parts of settings: numbers, units, names, and what separates them.
const WORDS: [&str; 48] = [
    "0",
    "1",
    "10",
    "4.5",
    "-1",
    "+2",
    "1e9",
    "00",
    "18446744073709551615",
    "99999999999999999999",
    "0.0000000001",
    "NaN",
    "inf",
    "ns",
    "us",
    "ms",
    "s",
    "m",
    "h",
    "d",
    "Ki",
    "Mi",
    "Gi",
    "Ti",
    "Ei",
    "k",
    "G",
    "=",
    ",",
    ":",
    "/",
    "@",
    "?",
    "#",
    "%",
    " ",
    "\n",
    "-",
    "_",
    ".",
    "always",
    "never",
    "local",
    "kubernetes",
    "s3://b",
    "gs://b",
    "ü",
    "podpool.dev/x",
];

/// A text of such parts, and of characters.
fn text(drawn: &[u16]) -> String {
    let mut text = String::new();
    for word in drawn {
        match WORDS.get(usize::from(*word % 64)) {
            Some(part) => text.push_str(part),
            None => text.extend(char::from_u32(u32::from(*word))),
        }
    }
    text
}

/// A duration: the ends of the range, and what is between them.
const fn duration(drawn: u64) -> Duration {
    match drawn % 6 {
        0 => Duration::ZERO,
        1 => Duration::MAX,
        2 => Duration::from_nanos(drawn),
        3 => Duration::from_secs(drawn),
        4 => Duration::from_millis(drawn % 1_000),
        _ => Duration::new(drawn % 100, 999_999_999),
    }
}

fn names(text: &str) {
    if let Ok(name) = RunName::new(text) {
        let id = RunId::of(&name);
        assert_eq!(RunId::new(id.as_str()), Ok(id));
    }
    if let Ok(id) = RunId::new(text) {
        assert_eq!(id.as_str(), text);
    }
    if let Err(error) = text.parse::<Backend>() {
        assert!(!error.to_string().is_empty());
    }
    #[cfg(feature = "payload")]
    // A directory would be made.
    if !text.to_ascii_lowercase().trim_start().starts_with("file") {
        drop(crate::payload::PayloadStore::open(text, &RunId::random()));
    }
}

/// The variables of workers on a cluster, each with one of the texts.
#[cfg(feature = "kubernetes")]
fn environment(texts: &[String]) {
    use crate::fleet::kubernetes::job;
    use crate::fleet::kubernetes::spec::{ConfigFile, MAX_DEADLINE, Template, WorkerSpec};
    let variable = |name: &str| {
        let sum: usize = name.bytes().map(usize::from).sum();
        texts.get(sum % 24).cloned()
    };
    match WorkerSpec::default().or_environment(variable) {
        Err(error) => assert!(error.setting.starts_with("PODPOOL_"), "{error}"),
        Ok(spec) => {
            if spec.check().is_ok() {
                drop(job::check(&spec));
            }
            assert!(spec.settings().iter().all(|one| !one.name.is_empty()));
            // Bounded, or the sum of two of them could overflow.
            let times = [spec.idle_time(), spec.start_time(), spec.schedule_time()];
            assert!(times.iter().all(|time| *time <= MAX_DEADLINE), "{times:?}");
        }
    }
    let file = texts.concat();
    drop(ConfigFile::parse(
        "podpool.toml".as_ref(),
        &format!("[kubernetes]\n{file}"),
    ));
    drop(Template::parse("pod.yaml".as_ref(), &file));
}

/// An executor of threads with these settings: it is refused by a setting's name, or it starts and ends.
fn executor(name: &str, numbers: [u64; 6]) {
    let [grace, lease, start, deadline, progress, small] = numbers;
    let threads = LocalOptions::default().isolation(Isolation::InProcess);
    let mut builder = PodPoolExecutor::builder()
        .local(threads)
        .notices(Notices::Off)
        .signals(false)
        .max_workers(usize::try_from(small % 4).unwrap_or(1))
        .retries(small as u32)
        .grace(duration(grace))
        .lease(duration(lease))
        .start_timeout(duration(start))
        .deadline(duration(deadline))
        .no_progress_timeout(duration(progress));
    if small % 3 == 0 {
        builder = builder.run(name);
    }
    let built = pollster::block_on(builder.build());
    match built {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(pool) => {
            let ended = pollster::block_on(pool.shutdown_with(ShutdownBehavior::Abort));
            let words = ended
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(!words.contains("panic"), "{words}");
        }
    }
}

#[test]
fn configuration() {
    let target = bolero::check!().with_iterations(INPUTS);
    let texts = produce::<Vec<Vec<u16>>>()
        .with()
        .len(0_usize..24)
        .values(produce::<Vec<u16>>().with().len(0_usize..8));
    let inputs = target.with_generator((texts, produce::<[u64; 6]>()));
    inputs.for_each(|(drawn, numbers)| {
        let texts: Vec<_> = drawn.iter().map(|drawn| text(drawn)).collect();
        texts.iter().for_each(|text| names(text));
        #[cfg(feature = "kubernetes")]
        environment(&texts);
        executor(texts.first().map_or("", String::as_str), *numbers);
    });
}
