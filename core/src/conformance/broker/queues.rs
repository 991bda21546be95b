//! Checks of the messages on the queues that a broker makes.

use tokio::time::timeout;

use super::Subject;
use super::steps::{Opened, expect, expect_nothing, facts, put};
use crate::broker::{BrokerEvent, ClassId};

/// A class that no other check uses.
const OTHER: ClassId = ClassId(7);

/// A task that the master puts reaches a worker, and a result that the worker puts reaches the master.
///
/// # Panics
/// When it does not.
pub async fn tasks_and_results_arrive(subject: &Subject) {
    let (run, patience) = (Opened::new(subject).await, subject.patience);
    run.prepare(0, 1).await;
    let worker = run.worker(subject, ClassId::DEFAULT, Some((0, 0))).await;
    put(&*run.tasks(ClassId::DEFAULT), &["a", "b"], patience).await;
    expect(&*worker.tasks, &["a", "b"], patience).await;
    // A worker puts back tasks that it does not begin.
    put(&*worker.tasks, &["c"], patience).await;
    expect(&*worker.tasks, &["c"], patience).await;
    put(&*worker.results, &["done"], patience).await;
    expect(&*run.queues.results(), &["done"], patience).await;
    assert_eq!(worker.outlive, run.queues.outlive());
    assert!(!worker.advice.is_empty(), "advice says what to look at");
    run.end().await;
}

/// Control reaches each worker of each cohort, and a message that one worker takes stays available for the others. A
/// worker without a place receives no control, and works.
///
/// # Panics
/// When it does not reach a worker.
pub async fn control_reaches_every_worker(subject: &Subject) {
    let (run, patience) = (Opened::new(subject).await, subject.patience);
    let many = subject.broker.limits().processes;
    let places: &[(u32, u32)] = match many {
        true => &[(0, 0), (0, 1), (3, 0)],
        false => &[(0, 0)],
    };
    run.prepare(0, 2).await;
    run.prepare(3, 1).await;
    put(&*run.queues.control(), &["closing"], patience).await;
    for place in places {
        let worker = run.worker(subject, ClassId::DEFAULT, Some(*place)).await;
        expect(&*worker.control, &["closing"], patience).await;
        expect_nothing(&*worker.control, "control was heard").await;
    }
    if many {
        let worker = run.worker(subject, ClassId::DEFAULT, None).await;
        put(&*run.queues.control(), &["ended"], patience).await;
        expect_nothing(&*worker.control, "the worker has no place").await;
    }
    run.end().await;
}

/// Tasks of a class reach only workers of that class. A broker without classes refuses a run with several, and leaves
/// nothing of the run.
///
/// # Panics
/// When a task reaches a worker of another class, or such a run is opened.
pub async fn each_class_has_its_queue(subject: &Subject) {
    let mut facts = facts(subject);
    facts.classes.push(OTHER);
    if !subject.broker.limits().classes {
        let opened = subject.broker.open(&facts).await;
        let Err(error) = opened else {
            panic!("a run with class {OTHER} was opened, and limits say that there is none");
        };
        assert!(error.to_string().contains(&OTHER.to_string()), "{error}");
        let run = Opened::new(subject).await;
        assert!(run.queues.tasks(OTHER).is_none());
        return run.end().await;
    }
    let (run, patience) = (Opened::of(subject, facts).await, subject.patience);
    let worker = run.worker(subject, ClassId::DEFAULT, None).await;
    let other = run.worker(subject, OTHER, None).await;
    put(&*run.tasks(OTHER), &["large"], patience).await;
    expect_nothing(&*worker.tasks, "the task is of another class").await;
    expect(&*other.tasks, &["large"], patience).await;
    put(&*run.tasks(ClassId::DEFAULT), &["small"], patience).await;
    expect(&*worker.tasks, &["small"], patience).await;
    expect_nothing(&*other.tasks, "the task is of the default class").await;
    // Results and control are the run's, whatever the class.
    put(&*other.results, &["grown"], patience).await;
    expect(&*run.queues.results(), &["grown"], patience).await;
    run.prepare_for(ClassId::DEFAULT, 0, 1).await;
    run.prepare_for(OTHER, 1, 1).await;
    put(&*run.queues.control(), &["closing"], patience).await;
    let cohorts = [(ClassId::DEFAULT, 0), (OTHER, 1)];
    // Without processes there is one worker, and so one queue for control.
    let workers = match subject.broker.limits().processes {
        true => cohorts.len(),
        false => 1,
    };
    for (class, cohort) in cohorts.into_iter().take(workers) {
        let worker = run.worker(subject, class, Some((cohort, 0))).await;
        expect(&*worker.control, &["closing"], patience).await;
    }
    run.end().await;
}

/// Queues that are deleted from outside are made again, and the broker reports that messages may be lost.
///
/// # Panics
/// When they stay away.
pub async fn what_vanished_is_made_again(subject: &Subject) {
    let Some(vanish) = &subject.vanish else {
        return;
    };
    let (mut run, patience) = (Opened::new(subject).await, subject.patience);
    run.prepare(0, 1).await;
    let worker = run.worker(subject, ClassId::DEFAULT, Some((0, 0))).await;
    let tasks = run.tasks(ClassId::DEFAULT);
    put(&*tasks, &["before"], patience).await;
    expect(&*worker.tasks, &["before"], patience).await;
    vanish(run.facts.run.clone()).await;
    // A worker that starts meanwhile opens queues that do not exist at that time.
    run.worker(subject, ClassId::DEFAULT, Some((0, 0))).await;
    // Some brokers notice only by a refused call that a queue is gone. This message may be lost with the old queue.
    put(&*tasks, &["after"], patience).await;
    let told = timeout(patience, run.events.recv()).await;
    assert_eq!(told, Ok(Some(BrokerEvent::Restored)), "the master is told");
    put(&*tasks, &["after"], patience).await;
    expect(&*worker.tasks, &["after"], patience).await;
    put(&*worker.results, &["done"], patience).await;
    expect(&*run.queues.results(), &["done"], patience).await;
    put(&*run.queues.control(), &["ended"], patience).await;
    expect(&*worker.control, &["ended"], patience).await;
    run.end().await;
}
