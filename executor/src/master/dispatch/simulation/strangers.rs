//! Workers that send one message or two and no more: they report what no script does, or are surplus.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::broker::ClassId;
use podpool_core::envelope::entry::put_failed;
use podpool_core::envelope::{Hello, MacKey, Results};
use podpool_core::fleet::{Departure, End};
use podpool_core::id::{Attempt, ExecutionId, TaskId, WorkerId};
use podpool_core::outcome::{Cause, Failure};
use podpool_core::wall::WallTime;

use super::events::Event;
use super::worker::{SLOTS, run_id};
use super::world::{EPOCH, TASKS, World};

/// Their numbers begin here.
const FIRST: u64 = 1_000_000;

/// A task of which each of so many workers reports in turn that its newest attempt ended so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    task: u64,
    cause: Cause,
    times: u32,
}

impl World {
    /// What strangers do.
    pub(super) fn plan_strangers(&mut self) {
        for (cause, most) in [
            (Cause::Interrupted, 120),
            (Cause::OutOfMemory, 3),
            (Cause::Suspect, 3),
            (Cause::Broken, 2),
        ] {
            if self.site.chance(15) {
                let (task, times) = (self.site.rng.u64(..TASKS), 1 + self.site.rng.u32(..most));
                let report = Report { task, cause, times };
                self.site.within(10_000, Event::Report(report));
            }
        }
        if self.site.chance(20) {
            self.plan_surplus();
        }
    }

    /// A worker is surplus, and greets before or after its fleet reports so; later it has left.
    fn plan_surplus(&mut self) {
        let name: Arc<str> = "surplus".into();
        let hello = Hello {
            run: run_id(),
            class: ClassId::DEFAULT,
            worker: WorkerId(FIRST),
            name: name.clone(),
            node: "node".into(),
            slots: SLOTS,
            build: String::new(),
            epoch: EPOCH,
            sequence: 1,
        };
        self.site.within(12_000, Event::Surplus(name.clone()));
        self.site
            .within(12_000, Event::Greet(hello.message(&MacKey::Absent)));
        let departure = Departure {
            worker: name,
            node: None,
            end: End::Left,
            reason: "as the test wants it".to_owned(),
            at: None,
            running: Vec::new(),
        };
        self.site
            .at(Duration::from_secs(14), Event::Gone(departure));
    }

    /// The next stranger reports, once the task is out again.
    pub(super) fn report(&mut self, report: Report) {
        let Report { task, cause, times } = report;
        if times == 0 || !self.duties.is_unended(task) {
            return;
        }
        let attempt = self.duties.out(task);
        // Where no other worker is there, a worker whose slots do not start ends the run.
        let allowed = cause != Cause::Broken || self.duties.has_fit_worker();
        let Some(attempt) = attempt.filter(|_| allowed) else {
            self.site
                .at(Duration::from_millis(10), Event::Report(report));
            return;
        };
        self.framed.insert(task);
        self.strangers += 1;
        let worker = WorkerId(FIRST + self.strangers);
        let results = Results {
            run: run_id(),
            execution: ExecutionId { worker, number: 0 },
            epoch: EPOCH,
            count: 1,
            lines: 0,
            at: WallTime::default(),
        };
        let failure = Failure::new(cause, "as the test wants it");
        let mut entries = Vec::new();
        let (id, attempt) = (TaskId(task), Attempt(attempt));
        put_failed(&mut entries, id, attempt, Duration::ZERO, &failure);
        self.tell_master(results.message(&entries, &MacKey::Absent));
        let times = times - 1;
        let again = Report { task, cause, times };
        self.site.at(Duration::ZERO, Event::Report(again));
    }
}
