//! The preflight of a builder: the checks of the very run that `build()` would start.

use std::path::PathBuf;

use super::ledger::Wanted;
use super::{Backend, Builder};
use crate::broker::run_payloads::asked_for;
use crate::client::doctor::ledger::Subject as LedgerSubject;
use crate::client::doctor::{conduct, ledger, local, payload};
use crate::client::options::Isolation;
use crate::doctor::{Line, Permits, Report};
use crate::error::BuildError;
use crate::error::start::chain;

const SETTINGS: &str = "settings";

impl Builder {
    /// Looks at everything that [`build`](Self::build) would use with these settings, and at what a run needs there: the
    /// cluster and the rights in it, Pub/Sub, the payload store, the ledger, this machine. Nothing is made and nothing is
    /// changed. Takes 40 s at most, and needs no runtime. See [`doctor`](crate::doctor).
    pub async fn doctor(self) -> Report {
        self.doctor_with(Permits::none()).await
    }

    /// The same, with permission to do more than to look.
    pub async fn doctor_with(mut self, permits: Permits) -> Report {
        // Here and not on the thread of the checks: which role this process has is known by its threads too.
        let backend = self.checked_backend();
        let backend = match backend.and_then(|backend| self.checked(backend).map(|()| backend)) {
            Ok(backend) => backend,
            Err(error) => return Report::new(vec![unusable(error)]),
        };
        let mut lines = vec![Line::pass(SETTINGS, format!("back-end {backend}"))];
        let store = asked_for(self.payload_store.take());
        let remembered = self.remembered();
        match backend {
            Backend::Local => {
                lines.extend(self.slots_here());
                let rest = conduct(move || async move {
                    let rest = tokio::join!(payload::look(store, permits), read(remembered));
                    [rest.0, rest.1].concat()
                });
                lines.extend(rest.await.lines);
            }
            Backend::Kubernetes => lines.extend(self.away(store, remembered, permits).await),
        }
        Report::new(lines)
    }

    /// The settings that every back-end checks when it starts.
    fn checked(&self, backend: Backend) -> Result<(), BuildError> {
        self.run_name()?;
        self.output_limits()?;
        match backend {
            Backend::Local => self.local_slots().map(drop),
            Backend::Kubernetes => self.workers(1).map(drop),
        }
    }

    fn slots_here(&self) -> Vec<Line> {
        let processes = self.local.isolation == Isolation::Process;
        match (self.local_slots(), self.local.shared_memory()) {
            (Ok((slots, _)), Ok(shared)) => local::look(local::Slots {
                slots,
                processes,
                memory: self.slot_memory,
                shared,
            }),
            (Err(error), _) | (_, Err(error)) => vec![unusable(error)],
        }
    }

    /// The run in its ledger, where it has one.
    fn remembered(&mut self) -> Result<Option<LedgerSubject>, BuildError> {
        let directory = self.ledger.clone();
        let directory =
            directory.or_else(|| std::env::var_os(super::ledger::LEDGER).map(PathBuf::from));
        let given = self.hooks.ledger.is_some();
        let attached = self.attached.is_some();
        let wanted = self.wanted_run()?;
        Ok(wanted
            .map(Wanted::seen)
            .map(|(ledger, run, takes_over)| LedgerSubject {
                ledger,
                directory: directory.filter(|_| !given),
                run,
                attached,
                takes_over,
            }))
    }

    #[cfg(not(feature = "kubernetes"))]
    #[expect(
        clippy::unused_async,
        reason = "the back-end that is not compiled in would wait"
    )]
    async fn away(
        self,
        _: Option<String>,
        _: Result<Option<LedgerSubject>, BuildError>,
        _: Permits,
    ) -> Vec<Line> {
        vec![unusable(super::feature_missing())]
    }

    #[cfg(feature = "kubernetes")]
    async fn away(
        mut self,
        store: Option<String>,
        remembered: Result<Option<LedgerSubject>, BuildError>,
        permits: Permits,
    ) -> Vec<Line> {
        use crate::fleet::kubernetes::doctor;

        let settings = self.worker_spec().and_then(|spec| {
            Ok(doctor::Subject {
                spec,
                name: self.run_name()?,
                max_workers: self.pods()?,
            })
        });
        let subject = match settings {
            Ok(subject) => subject,
            Err(error) => return vec![unusable(error)],
        };
        let broker = self.pubsub_broker(&subject.spec.env);
        let seen = conduct(move || async move {
            let queues = async {
                match broker {
                    Ok(broker) => broker.doctor().await,
                    Err(error) => vec![Line::fail("pubsub.settings", chain(error), None)],
                }
            };
            let (cluster, queues, store, ledger) = tokio::join!(
                doctor::examine(&subject),
                queues,
                payload::look(store, permits),
                read(remembered),
            );
            [cluster, queues, store, ledger].concat()
        });
        seen.await.lines
    }
}

async fn read(remembered: Result<Option<LedgerSubject>, BuildError>) -> Vec<Line> {
    match remembered {
        Ok(Some(subject)) => ledger::look(subject).await,
        Ok(None) => {
            let why = "the run has no ledger: another start begins anew";
            vec![Line::skipped(ledger::RUN, why)]
        }
        Err(error) => vec![Line::fail(ledger::RUN, chain(error), None)],
    }
}

/// Each text of a `BuildError` ends with what to do.
fn unusable(error: BuildError) -> Line {
    Line::fail(SETTINGS, chain(error), None)
}

#[cfg(test)]
mod tests {
    use crate::PodPoolExecutor;
    use crate::doctor::{Outcome, Report};
    use crate::options::{Isolation, LocalOptions};

    fn threads() -> super::Builder {
        let options = LocalOptions::default().isolation(Isolation::InProcess);
        PodPoolExecutor::builder()
            .backend(super::Backend::Local)
            .local(options)
    }

    fn ids(report: &Report) -> Vec<&str> {
        report.lines.iter().map(|line| line.id).collect()
    }

    #[test]
    fn this_machine_is_looked_at_without_a_runtime() {
        let report = pollster::block_on(threads().doctor());
        assert!(report.is_ok(), "{report}");
        assert_eq!(ids(&report)[..2], ["settings", "local.memory"]);
        assert_eq!(report.lines[0].outcome, Outcome::Pass);
    }

    #[test]
    fn a_setting_that_build_refuses_is_the_failure() {
        let report = pollster::block_on(threads().max_workers(0).doctor());
        assert_eq!(ids(&report), ["settings"]);
        assert!(report.lines[0].seen.contains("max_workers"), "{report}");
        let report = pollster::block_on(threads().run("No Name").doctor());
        assert!(!report.is_ok());
    }

    #[cfg(feature = "ledger")]
    #[test]
    fn a_ledger_is_read_and_not_made() {
        let root = std::env::temp_dir().join(format!("podpool-doctor-{:x}", fastrand::u64(..)));
        let builder = threads().run("nightly").ledger(&root);
        let report = pollster::block_on(builder.doctor());
        assert!(report.is_ok(), "{report}");
        let run = report.lines.iter().find(|line| line.id == "ledger.run");
        assert_eq!(run.unwrap().seen, "a fresh run");
        assert!(!root.exists());
        let builder = threads().attach("nightly").ledger(&root);
        let report = pollster::block_on(builder.doctor());
        assert!(!report.is_ok(), "{report}");
    }
}
