//! The guard over queues that a test makes vanish, on a paused clock.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::subscriber::{DefaultGuard, set_default};

use podpool_core::notice::NOTICE;

use crate::lock::lock;

use super::*;

const LEASE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// Checks are answered in order; after the last answer each check finds everything in place.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<VecDeque<Repair>>,
    looks: Mutex<Vec<Instant>>,
    workers: AtomicBool,
}

#[async_trait]
impl Repairs for Scripted {
    fn are_own(&self) -> bool {
        true
    }

    fn has_workers(&self) -> bool {
        self.workers.load(Ordering::Relaxed)
    }

    async fn repair(&self) -> Repair {
        self.looks.lock().unwrap().push(Instant::now());
        self.answers.lock().unwrap().pop_front().unwrap_or_default()
    }
}

/// Keeps the text of notices.
#[derive(Clone, Debug, Default)]
struct Notices(Arc<Mutex<Vec<u8>>>);

impl io::Write for Notices {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = lock(&self.0);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Rig {
    queues: Arc<Scripted>,
    signs: Signs,
    events: UnboundedReceiver<BrokerEvent>,
    notices: Notices,
    began: Instant,
    watching: JoinHandle<bool>,
    stop: CancellationToken,
    _told: DefaultGuard,
}

impl Rig {
    fn new(answers: impl IntoIterator<Item = Repair>, workers: bool) -> Self {
        let queues = Arc::new(Scripted {
            answers: Mutex::new(answers.into_iter().collect()),
            looks: Mutex::default(),
            workers: workers.into(),
        });
        let notices = Notices::default();
        let written = notices.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || written.clone())
            .finish();
        let told = set_default(subscriber);
        let (events_tx, events) = mpsc::unbounded_channel();
        let (_, met) = mpsc::unbounded_channel();
        let own = Owner::new(RunId::new("ours").unwrap(), std::time::UNIX_EPOCH);
        let signs = Signs::default();
        let guard = Guard::new(queues.clone(), signs.clone(), LEASE, (own, met), events_tx);
        let stop = CancellationToken::new();
        Self {
            queues,
            signs,
            events,
            notices,
            began: Instant::now(),
            watching: tokio::spawn(guard.watch(stop.clone())),
            stop,
            _told: told,
        }
    }

    /// Lets the guard run for a time.
    async fn go(&self, time: Duration) {
        sleep(time).await;
    }

    /// When the guard checked, in seconds since the beginning.
    fn looks(&self) -> Vec<u64> {
        let looks = self.queues.looks.lock().unwrap();
        looks
            .iter()
            .map(|at| (*at - self.began).as_secs())
            .collect()
    }

    fn notices(&self) -> Vec<String> {
        let all = self.notices.0.lock().unwrap().clone();
        let all = String::from_utf8(all).unwrap();
        let lines = all.lines().filter(|line| line.contains(NOTICE));
        lines.map(ToOwned::to_owned).collect()
    }

    async fn end(self) {
        self.stop.cancel();
        let ended = timeout(SECOND, self.watching).await;
        assert!(!ended.unwrap().unwrap(), "no other run was met");
    }
}

fn made(what: &[&str]) -> Repair {
    Repair {
        made: what.iter().map(|what| (*what).to_owned()).collect(),
        lost: true,
        failed: None,
    }
}

fn refused() -> Repair {
    Repair {
        made: Vec::new(),
        lost: false,
        failed: Some(Failed::Make(AdminError::Denied {
            action: "create",
            what: "topic t of project p".to_owned(),
            reason: "no right".to_owned(),
        })),
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_a_call_finds_gone_are_made_again_at_once_with_a_line_for_each() {
    let made = made(&["topic t of project p", "subscription s of project p"]);
    let mut rig = Rig::new([made], false);
    rig.go(7 * SECOND).await;
    assert_eq!(rig.looks(), [0_u64; 0]);
    for _ in 0..100 {
        rig.signs.tell("projects/p/topics/t");
    }
    rig.go(SECOND / 10).await;
    assert_eq!(rig.looks(), [7], "not after half a minute");
    assert!(matches!(rig.events.try_recv(), Ok(BrokerEvent::Restored)));
    let notices = rig.notices();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(
        notices[0].contains("topic t of project p was deleted"),
        "{notices:?}"
    );
    assert!(
        notices[1].contains("subscription s of project p was deleted"),
        "{notices:?}"
    );
    rig.go(29 * SECOND).await;
    assert_eq!(rig.looks(), [7], "nothing more was refused");
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_repair_is_reported_once_and_tried_again() {
    let again = made(&["topic t of project p"]);
    let mut rig = Rig::new([refused(), refused(), refused(), again], false);
    rig.signs.tell("projects/p/topics/t");
    rig.go(20 * SECOND).await;
    assert_eq!(rig.looks(), [0, 1, 3, 7]);
    assert!(matches!(rig.events.try_recv(), Ok(BrokerEvent::Restored)));
    let notices = rig.notices();
    assert_eq!(notices.len(), 3, "{notices:?}");
    assert!(
        notices[0].contains("is not made again yet: cannot create topic t"),
        "{notices:?}"
    );
    assert!(notices[2].contains("all there again"), "{notices:?}");
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn silence_leads_to_a_check_only_where_there_are_workers() {
    let rig = Rig::new([], false);
    rig.go(29 * SECOND).await;
    assert_eq!(rig.looks(), [0_u64; 0]);
    rig.end().await;
    let rig = Rig::new([], true);
    rig.go(8 * SECOND).await;
    rig.signs.hear();
    rig.go(14 * SECOND + SECOND / 2).await;
    assert_eq!(rig.looks(), [20, 21], "12 s after the last message");
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_silence_of_later_workers_counts_from_their_request() {
    let rig = Rig::new([], false);
    rig.go(2 * SECOND).await;
    rig.queues.workers.store(true, Ordering::Relaxed);
    rig.signs.expect_workers();
    rig.go(3 * SECOND).await;
    rig.signs.hear();
    rig.go(13 * SECOND).await;
    assert_eq!(rig.looks(), [17], "12 s after the last message");
    rig.end().await;
}
