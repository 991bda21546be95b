//! Which notices are issued, and when, on a virtual clock.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

struct Recorder {
    notices: Notices,
    start: Instant,
    now: Instant,
    lines: Vec<(u64, Notice)>,
}

impl Recorder {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            notices: Notices::default(),
            start,
            now: start,
            lines: Vec::new(),
        }
    }

    fn look(&mut self, view: &View) {
        let due = self.notices.is_due(self.now, view.wanted, view.ready);
        let news = due
            .then(|| self.notices.next_line(self.now, view))
            .flatten();
        let silence = self.notices.silence_line(self.now);
        let moves = self.notices.move_lines(self.now);
        let at = (self.now - self.start).as_secs();
        let all = moves.into_iter().chain(silence).chain(news);
        self.lines.extend(all.map(|notice| (at, notice)));
    }

    /// Advances the clock as the fleet would: the notices are examined at each deadline, and at the end.
    fn wait(&mut self, time: Duration, view: &View) {
        let end = self.now + time;
        while let Some(at) = self.notices.deadline(self.now).filter(|at| *at <= end) {
            self.now = at;
            self.look(view);
        }
        self.now = end;
        self.look(view);
    }

    fn texts(&self) -> Vec<(u64, &str)> {
        let lines = self.lines.iter();
        lines.map(|(at, notice)| (*at, &*notice.text)).collect()
    }
}

fn view(ready: u32, wanted: u32, reasons: &[(u32, &str)]) -> View {
    let why = |(workers, reason): &(u32, &str)| Reason {
        workers: *workers,
        reason: (*reason).to_owned(),
        slow: reason.starts_with("on their way"),
    };
    View {
        wanted,
        ready,
        reasons: reasons.iter().map(why).collect(),
        gives_up: None,
    }
}

const IMAGE: &str =
    "image \"nosuch:9\" is not on the node (ErrImageNeverPull); load it, or change pull_policy";
const CPU: &str = "no node has enough cpu for a worker (0/2 nodes are available)";
const SLOW_START: &str = "on their way: nodes are setting the pods up";

#[test]
fn a_healthy_start_of_some_seconds_causes_no_notice() {
    let mut told = Recorder::new();
    told.look(&view(0, 10, &[(10, SLOW_START)]));
    told.wait(4 * SECOND, &view(0, 10, &[(10, SLOW_START)]));
    told.wait(4 * SECOND, &view(3, 10, &[(7, SLOW_START)]));
    told.wait(60 * SECOND, &view(10, 10, &[]));
    told.wait(60 * SECOND, &view(0, 0, &[]));
    assert_eq!(told.texts(), []);
}

#[test]
fn trouble_causes_one_notice_after_five_seconds_and_its_end_another() {
    let mut told = Recorder::new();
    let mut wrong = view(0, 10, &[(10, IMAGE)]);
    wrong.gives_up = Some(told.now + 57 * SECOND);
    told.look(&wrong);
    told.wait(40 * SECOND, &wrong);
    told.wait(20 * SECOND, &view(10, 10, &[]));
    let (line, end) = (&told.lines[0], &told.lines[1]);
    assert_eq!((line.0, line.1.trouble), (5, true));
    assert_eq!(
        line.1.text,
        format!("0 of 10 workers ready: {IMAGE}; giving up in 52 s")
    );
    assert_eq!((end.0, end.1.trouble), (60, false));
    assert_eq!(end.1.text, "10 of 10 workers run");
    assert_eq!(told.lines.len(), 2);
}

#[test]
fn only_another_kind_of_trouble_causes_another_notice() {
    let mut told = Recorder::new();
    told.look(&view(3, 10, &[(7, CPU)]));
    told.wait(20 * SECOND, &view(3, 10, &[(7, CPU)]));
    let details = "no node has enough cpu for a worker (0/5 nodes are available)";
    told.wait(20 * SECOND, &view(5, 10, &[(5, details)]));
    assert_eq!(
        told.texts(),
        [(5, &*format!("3 of 10 workers run; 7 wait: {CPU}"))]
    );
    told.wait(20 * SECOND, &view(5, 10, &[(4, details), (1, IMAGE)]));
    told.wait(20 * SECOND, &view(0, 10, &[(9, details), (1, IMAGE)]));
    assert_eq!(told.lines.len(), 3, "{:?}", told.texts());
    assert!(told.lines[1].1.text.contains("; 1 waits: image"));
    assert!(
        told.lines[2]
            .1
            .text
            .starts_with("0 of 10 workers ready: 9 wait: ")
    );
}

#[test]
fn a_slow_start_is_reported_soon_where_no_worker_runs_and_late_where_some_run() {
    let mut told = Recorder::new();
    told.look(&view(0, 4, &[(4, SLOW_START)]));
    told.wait(30 * SECOND, &view(0, 4, &[(4, SLOW_START)]));
    assert_eq!(
        told.texts(),
        [(5, &*format!("0 of 4 workers ready: 4 {SLOW_START}"))]
    );
    let mut told = Recorder::new();
    told.look(&view(2, 4, &[(2, SLOW_START)]));
    told.wait(30 * SECOND, &view(2, 4, &[(2, SLOW_START)]));
    assert_eq!(
        told.texts(),
        [(15, &*format!("2 of 4 workers run; 2 {SLOW_START}"))]
    );
}

#[test]
fn alternating_trouble_causes_at_most_one_notice_in_five_seconds() {
    let mut told = Recorder::new();
    for turn in 0..600 {
        let view = match turn % 3 {
            0 => view(0, 10, &[(10, CPU)]),
            1 => view(1, 10, &[(9, IMAGE)]),
            _ => view(2, 10, &[(8, CPU), (0, IMAGE)]),
        };
        told.wait(SECOND / 10, &view);
    }
    assert!((2..=12).contains(&told.lines.len()), "{:?}", told.texts());
    let times: Vec<u64> = told.lines.iter().map(|(at, _)| *at).collect();
    assert!(
        times.windows(2).all(|two| two[1] - two[0] >= 4),
        "{times:?}"
    );
}

#[test]
fn tasks_that_end_before_their_workers_start_cause_no_notice() {
    let mut told = Recorder::new();
    told.look(&view(0, 10, &[(10, CPU)]));
    told.wait(20 * SECOND, &view(0, 10, &[(10, CPU)]));
    told.wait(20 * SECOND, &view(0, 0, &[]));
    // Other tasks, later: the trouble is reported again.
    told.look(&view(0, 10, &[(10, CPU)]));
    told.wait(20 * SECOND, &view(0, 10, &[(10, CPU)]));
    let times: Vec<u64> = told.lines.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [5, 45]);
}

#[test]
fn workers_lost_in_one_second_share_a_notice_for_each_reason_and_node() {
    let mut told = Recorder::new();
    let fine = view(5, 5, &[]);
    for (at, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        told.now = told.start + SECOND / 5 * u32::try_from(at).unwrap();
        let reason = "its node does not answer (NotReady)";
        told.notices
            .lost(told.now, name.into(), Some("node2"), reason);
        told.look(&fine);
    }
    told.notices
        .lost(told.now, "e".into(), Some("node1"), "it died: exit code 3");
    told.wait(10 * SECOND, &fine);
    assert_eq!(
        told.texts(),
        [
            (1, "worker e on node1 is gone: it died: exit code 3"),
            (
                1,
                "4 workers (a, b, c and 1 more) on node2 are gone: its node does not answer (NotReady)"
            ),
        ]
    );
    told.notices.back(told.now, "a".into());
    told.notices.back(told.now, "b".into());
    told.wait(10 * SECOND, &fine);
    let (_, back) = told.lines.last().unwrap();
    assert_eq!(back.text, "2 workers (a, b) work again");
    assert!(!back.trouble);
}

#[test]
fn only_a_cluster_that_stays_silent_is_reported_and_so_is_its_next_answer() {
    let mut told = Recorder::new();
    let fine = view(5, 5, &[]);
    let refused = || "connection refused".to_owned();
    told.notices.unanswered(told.now, refused());
    told.wait(2 * SECOND, &fine);
    assert_eq!(told.notices.answered(told.now), None);
    told.notices.unanswered(told.now, refused());
    told.wait(3 * SECOND, &fine);
    told.notices.unanswered(told.now - 3 * SECOND, refused());
    told.wait(27 * SECOND, &fine);
    assert_eq!(
        told.texts(),
        [(
            7,
            "the cluster has not answered for 5 s (connection refused); running workers continue, and lost ones are replaced when the cluster answers"
        )]
    );
    let end = told.notices.answered(told.now).unwrap();
    assert_eq!(end.text, "the cluster answers again, after 30 s");
    assert_eq!(told.notices.deadline(told.now), None);
}
