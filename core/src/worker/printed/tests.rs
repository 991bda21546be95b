//! Tests of lines on their way to the master.

use super::*;

const LINE: usize = 8 << 10;
const BURST: usize = 256 << 10;

fn task(number: u64) -> PrintedTask {
    PrintedTask {
        task: TaskId(number),
        attempt: Attempt::FIRST,
        name: "prices::clean".into(),
        key: Some("BTC".into()),
    }
}

#[test]
fn lines_go_together_and_a_flood_is_counted() {
    let now = Instant::now();
    let mut printed = Printed::new(
        now,
        OutputLimits {
            line: LINE - MARK,
            ..OutputLimits::default()
        },
    );
    assert_eq!(printed.due(), None);
    printed.push(now, None, Stream::Stdout, "one");
    printed.push(now, None, Stream::Stdout, "two");
    assert_eq!(printed.due(), Some(now + GATHER));
    assert_eq!(printed.take(now, false), None);
    let gathered = printed.take(now + GATHER, false).unwrap();
    assert_eq!(
        (gathered.lines.len(), gathered.left_out, gathered.through),
        (2, 0, 2)
    );
    let long = "x".repeat(LINE + 100);
    for _ in 0..100 {
        printed.push(now, None, Stream::Stdout, &long);
    }
    assert!(!printed.is_whole());
    let gathered = printed.take(now, true).unwrap();
    assert!(printed.is_whole());
    let lines = gathered.lines.len();
    assert!(lines < BURST / LINE && gathered.lines[0].text.len() == LINE);
    assert_eq!(lines as u64 + gathered.left_out, 100);
    assert_eq!(gathered.through, 102, "those left out are counted too");
    let later = now + Duration::from_secs(10);
    printed.push(later, None, Stream::Stdout, "again");
    assert_eq!(printed.take(later, true).unwrap().lines.len(), 1);
}

#[test]
fn each_batch_names_its_tasks_once() {
    let now = Instant::now();
    let mut printed = Printed::new(now, OutputLimits::default());
    let (one, two) = (task(1), task(2));
    for task in [Some(&one), Some(&two), None, Some(&one)] {
        printed.push(now, task, Stream::Stderr, "x");
    }
    let gathered = printed.take(now, true).unwrap();
    assert_eq!(gathered.tasks, [one.clone(), two]);
    let places: Vec<_> = gathered.lines.iter().map(|line| line.task).collect();
    assert_eq!(places, [Some(0), Some(1), None, Some(0)]);
    printed.push(now, Some(&one), Stream::Stderr, "x");
    let gathered = printed.take(now, true).unwrap();
    assert_eq!(
        (gathered.tasks, gathered.lines[0].task),
        (vec![one], Some(0))
    );
}

#[test]
fn a_cut_falls_between_characters() {
    let line = "é".repeat(LINE);
    assert!(shortened(&line, LINE + 1).len() <= LINE);
}
