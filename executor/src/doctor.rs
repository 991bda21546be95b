//! Preflight: whether a run could start where its settings send it, and what is missing, before anything is made.
//!
//! [`Builder::doctor`](crate::Builder::doctor) looks at everything that [`build`](crate::Builder::build) would use with
//! the same settings and the same environment. It makes nothing and changes nothing: objects of a cluster are sent as a
//! dry run, which the API server validates and does not store.
//!
//! ```no_run
//! # async fn look() -> Result<(), Box<dyn std::error::Error>> {
//! let report = podpool::PodPoolExecutor::builder().backend(podpool::Backend::Kubernetes).doctor().await;
//! print!("{report}");
//! if !report.is_ok() {
//!     return Err("this run cannot start".into());
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

/// The longest that one check may take.
// A service that works answers within a second or two; a wrong address takes as long as its connection may take.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

/// What a preflight may do beside looking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "permits have no effect until `Builder::doctor_with` is given them"]
pub struct Permits {
    pub(crate) probe_objects: bool,
}

impl Permits {
    /// Nothing is written anywhere.
    pub fn none() -> Self {
        Self::default()
    }

    /// Lets a small object be written to the payload store, read, and deleted. Without it the store is listed, which does
    /// not show whether a run may write to it.
    pub const fn probe_objects(mut self) -> Self {
        self.probe_objects = true;
        self
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// As a run needs it.
    Pass,
    /// A run starts with it, and may not do what is expected.
    Warn,
    /// A run cannot start, or cannot work.
    Fail,
    /// Not looked at; [`seen`](Line::seen) tells why.
    Skipped,
}

/// `pass`, `warn`, `fail` or `skipped`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        })
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Line {
    /// Which check it is, such as `kubernetes.right`. Ids stay the same from version to version.
    pub id: &'static str,
    /// The thing that was looked at, where there are several of a kind: `create jobs.batch`. Empty where there is one. Id
    /// and thing together name a line.
    pub about: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen; for a check that was skipped, why.
    pub seen: String,
    /// The command or the setting that corrects it. None where nothing is to be corrected.
    pub fix: Option<String>,
}

impl Line {
    fn new(id: &'static str, outcome: Outcome, seen: impl Into<String>) -> Self {
        Self {
            id,
            about: String::new(),
            outcome,
            seen: seen.into(),
            fix: None,
        }
    }

    pub(crate) fn pass(id: &'static str, seen: impl Into<String>) -> Self {
        Self::new(id, Outcome::Pass, seen)
    }

    pub(crate) fn warn(
        id: &'static str,
        seen: impl Into<String>,
        fix: impl Into<Option<String>>,
    ) -> Self {
        Self {
            fix: fix.into(),
            ..Self::new(id, Outcome::Warn, seen)
        }
    }

    pub(crate) fn fail(
        id: &'static str,
        seen: impl Into<String>,
        fix: impl Into<Option<String>>,
    ) -> Self {
        Self {
            fix: fix.into(),
            ..Self::new(id, Outcome::Fail, seen)
        }
    }

    pub(crate) fn skipped(id: &'static str, why: impl Into<String>) -> Self {
        Self::new(id, Outcome::Skipped, why)
    }

    /// The same about this thing.
    pub(crate) fn about(mut self, thing: impl Into<String>) -> Self {
        self.about = thing.into();
        self
    }

    /// The same with a command that shows or corrects it.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Id and thing, as people read them.
    fn title(&self) -> String {
        if self.about.is_empty() {
            self.id.to_owned()
        } else {
            format!("{} {}", self.id, self.about)
        }
    }
}

/// The lines of a check, or this one where it has not ended after [`BOUND`].
pub(crate) async fn bounded(
    late: impl FnOnce(String) -> Line,
    check: impl Future<Output = Vec<Line>>,
) -> Vec<Line> {
    let lines = timeout(BOUND, check).await;
    lines.unwrap_or_else(|_| vec![late(format!("no answer within {BOUND:?}"))])
}

/// What a preflight has seen: a line for each check, in the order of checking, settings and the way to a service first.
///
/// `{}` is one line for each check, in columns; text of others, such as an answer of the API, is in one line too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The checks.
    pub lines: Vec<Line>,
}

impl Report {
    pub(crate) const fn new(lines: Vec<Line>) -> Self {
        Self { lines }
    }

    /// Whether no check failed. Warnings, and checks that could not be made, do not count.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.of(Outcome::Fail).next().is_none()
    }

    /// The lines that ended so, in order.
    pub fn of(&self, outcome: Outcome) -> impl Iterator<Item = &Line> {
        self.lines
            .iter()
            .filter(move |line| line.outcome == outcome)
    }
}

/// A text of others in one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles: Vec<_> = self.lines.iter().map(Line::title).collect();
        let longest = titles.iter().map(|title| title.chars().count()).max();
        let width = longest.unwrap_or_default();
        for (line, title) in self.lines.iter().zip(titles) {
            let seen = one_line(&line.seen);
            write!(f, "{:<7}  {title:<width$}  {seen}", line.outcome)?;
            match &line.fix {
                Some(fix) => writeln!(f, "; to do: {}", one_line(fix))?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
