//! Tests of what a task measures.

use std::sync::Mutex;

use super::*;

#[derive(Default)]
struct Notes(Mutex<Vec<(String, Value)>>);

impl Recorder for Notes {
    fn record(&self, _: &TaskContext, name: &str, value: Value) {
        self.0.lock().unwrap().push((name.to_owned(), value));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_task_measures_is_recorded_in_order() {
    let (context, notes) = (TaskContext::here(None), Notes::default());
    let metrics = Metrics::with(&context, Some(&notes));
    {
        let _timer = metrics.timer("load");
        metrics.timer("never").discard();
        metrics.counter("rows", 3);
        metrics.gauge("level", 0.5);
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    let expected = [
        ("rows", Value::Counter(3)),
        ("level", Value::Gauge(0.5)),
        ("load", Value::Timer(Duration::from_secs(2))),
    ];
    let noted = notes.0.into_inner().unwrap();
    assert_eq!(
        noted,
        expected.map(|(name, value)| (name.to_owned(), value))
    );
}

#[test]
fn without_a_recorder_nothing_is_measured() {
    let context = TaskContext::here(None);
    let metrics = Metrics::with(&context, None);
    metrics.counter("rows", 1);
    metrics.gauge("level", 1.0);
    assert_eq!(metrics.timer("load").begun, None, "no clock is read");
}

#[test]
fn a_process_has_one_recorder() {
    assert_eq!(install(Notes::default()), Ok(()));
    assert_eq!(install(Notes::default()), Err(AlreadyInstalled));
    let context = TaskContext::here(None);
    assert!(Metrics::of(&context).recorder.is_some());
}
