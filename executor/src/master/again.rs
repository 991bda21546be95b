//! Which tasks that a run remembers are submitted again: those that failed, those that a user selects, or those that an
//! earlier master left unended.

use std::collections::{BTreeSet, HashMap};
use std::ops::{Bound, RangeBounds};

use podpool_core::envelope::Arguments;
use podpool_core::id::TaskId;
use podpool_core::ledger::{Identity, LedgerError, Listed, ReadRun, Status, TypeId, TypeRecord};
use podpool_core::notice;
use podpool_core::registry::Registry;
use podpool_core::task::{CallParts, TaskSpec};

/// Most keys that a notice names.
const SHOWN: usize = 5;

/// Which tasks of a run are computed again by [`PodPoolExecutor::reprocess`](crate::PodPoolExecutor::reprocess).
///
/// ```
/// use podpool::options::Reprocess;
///
/// let march = Reprocess::range("2013-03-01".."2013-04-01").of("flights::backfill_day");
/// # drop(march);
/// ```
#[derive(Clone, Debug)]
#[must_use = "it selects tasks for `PodPoolExecutor::reprocess`"]
pub struct Reprocess {
    keys: Keys,
    task: Option<String>,
}

#[derive(Clone, Debug)]
enum Keys {
    All,
    These(BTreeSet<String>),
    Range(Bound<String>, Bound<String>),
}

impl Reprocess {
    /// Every task of the run.
    pub const fn all() -> Self {
        Self {
            keys: Keys::All,
            task: None,
        }
    }

    /// The tasks with these keys.
    pub fn keys<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self {
            keys: Keys::These(keys.into_iter().map(Into::into).collect()),
            task: None,
        }
    }

    /// The tasks whose keys are in this range, in the order of their bytes: dates as `2013-03-01` are in the order of time.
    pub fn range<'a>(range: impl RangeBounds<&'a str>) -> Self {
        let own = |bound: Bound<&&str>| bound.map(|key| (*key).to_owned());
        Self {
            keys: Keys::Range(own(range.start_bound()), own(range.end_bound())),
            task: None,
        }
    }

    /// Of them those of the task with this name alone: `crate::module::function`.
    pub fn of(mut self, task: impl Into<String>) -> Self {
        self.task = Some(task.into());
        self
    }

    fn selects(&self, task: &Listed, name: &str) -> bool {
        if self.task.as_deref().is_some_and(|of| of != name) {
            return false;
        }
        let key = task.key.as_deref();
        match &self.keys {
            Keys::All => true,
            Keys::These(keys) => key.is_some_and(|key| keys.contains(key)),
            Keys::Range(from, to) => {
                let range = (
                    from.as_ref().map(String::as_str),
                    to.as_ref().map(String::as_str),
                );
                key.is_some_and(|key| RangeBounds::<str>::contains(&range, key))
            }
        }
    }
}

fn missing_text(keys: &BTreeSet<&str>, task: Option<&str>) -> String {
    let shown: Vec<_> = keys
        .iter()
        .take(SHOWN)
        .map(|key| format!("{key:?}"))
        .collect();
    let more = match keys.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let of = task.map_or_else(String::new, |name| format!(" of {name}"));
    let shown = shown.join(", ");
    format!("no task{of} in the run has the key {shown}{more}: nothing is reprocessed for it")
}

/// Which tasks are submitted again.
pub(crate) enum Select {
    Failed,
    Unended,
    These(Reprocess),
}

impl Select {
    /// The single keys that were asked for.
    fn single_keys(&self) -> BTreeSet<&str> {
        match self {
            Self::These(Reprocess {
                keys: Keys::These(keys),
                ..
            }) => keys.iter().map(String::as_str).collect(),
            _ => BTreeSet::new(),
        }
    }

    /// Says which of them no task of the run has.
    fn tell_missing(&self, keys: &BTreeSet<&str>) {
        if let Self::These(these) = self
            && !keys.is_empty()
        {
            notice::trouble(missing_text(keys, these.task.as_deref()));
        }
    }
}

/// The tasks that are selected: of each identity the newest.
pub(crate) fn find<R: ReadRun + ?Sized>(
    run: &mut R,
    select: &Select,
) -> Result<Vec<CallParts>, LedgerError> {
    let (types, masters) = (run.types()?, run.run()?.masters);
    // This master's own tasks have not been left by any.
    let own = masters.last().map_or(0, |newest| newest.epoch);
    let specs: HashMap<TypeId, &'static TaskSpec> = types
        .iter()
        .filter_map(|it| Some((it.number, known(it)?)))
        .collect();
    let names: HashMap<TypeId, &str> = types.iter().map(|it| (it.number, &*it.name)).collect();
    let mut missing = select.single_keys();
    let mut newest: HashMap<Identity, (TaskId, Identity, TypeId, bool)> = HashMap::new();
    run.list(&mut |task| {
        let name = names.get(&task.task_type).copied().unwrap_or_default();
        let selected = match select {
            Select::Failed => task.status == Status::Failed,
            // What this master took in and has ended since is among them: whoever resumes has no future of it.
            Select::Unended => {
                let ended_here = task.ended.as_ref().is_some_and(|it| it.stored.0 == own);
                let done_here = task.status == Status::Done && ended_here;
                task.submitted.0 < own && (task.status == Status::Unended || done_here)
            }
            Select::These(these) => {
                let selected = these.selects(&task, name);
                if let Some(key) = task.key.as_deref().filter(|_| selected) {
                    missing.remove(key);
                }
                selected
            }
        };
        // Tasks come in the order of their numbers: a newer one replaces the one before it.
        let newer = (task.task, task.identity, task.task_type, selected);
        newest.insert(task.identity, newer);
    })?;
    select.tell_missing(&missing);
    let mut selected: Vec<_> = newest
        .into_values()
        .filter(|(.., selected)| *selected)
        .collect();
    selected.sort_unstable();
    let (mut found, mut unknown) = (Vec::new(), BTreeSet::new());
    for (task, identity, task_type, _) in selected {
        let Some(spec) = specs.get(&task_type).copied() else {
            unknown.insert(names.get(&task_type).copied().unwrap_or_default());
            continue;
        };
        if let Some(record) = run.task(task)? {
            let mut options = record.options.unwrap_or_default();
            options.force = matches!(select, Select::These(_));
            let arguments = Arguments::from(record.arguments.to_vec());
            options.identity = Some(identity);
            found.push(CallParts {
                spec,
                arguments: Ok(arguments),
                options: Some(options),
            });
        }
    }
    tell_unknown(unknown);
    Ok(found)
}

fn tell_unknown(names: BTreeSet<&str>) {
    if !names.is_empty() {
        let names: Vec<_> = names.into_iter().collect();
        notice::trouble(format!(
            "tasks of the run are left out, because this program has another version of them or none: {}",
            names.join(", ")
        ));
    }
}

/// The task of this type in this program, if it is of the same version and shape.
pub(crate) fn known(it: &TypeRecord) -> Option<&'static TaskSpec> {
    let spec = Registry::global().ok()?.find(&it.name).ok()?;
    (spec.fingerprint().ok()? == it.fingerprint).then_some(spec)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use podpool_core::ledger::Why;

    use super::*;

    fn listed(key: Option<&str>) -> Listed {
        Listed {
            task: TaskId(1),
            task_type: TypeId(0),
            identity: Identity([0; 16]),
            key: key.map(Into::into),
            why: Why::First,
            submitted: (1, SystemTime::UNIX_EPOCH),
            status: Status::Done,
            ended: None,
        }
    }

    #[test]
    fn keys_that_no_task_has_are_named() {
        assert_eq!(
            missing_text(&BTreeSet::from(["2013-02-30"]), Some("a::day")),
            "no task of a::day in the run has the key \"2013-02-30\": nothing is reprocessed for it"
        );
        let text = missing_text(&BTreeSet::from(["a", "b", "c", "d", "e", "f", "g"]), None);
        assert!(text.contains("\"d\", \"e\" and 2 more:"), "{text}");
    }

    #[test]
    fn keys_are_selected_one_by_one_or_by_a_range() {
        let selects = |which: &Reprocess, key| which.selects(&listed(key), "a::day");
        let march = Reprocess::range("2013-03-01".."2013-04-01");
        for (key, expected) in [
            (Some("2013-02-28"), false),
            (Some("2013-03-01"), true),
            (Some("2013-03-31"), true),
            (Some("2013-04-01"), false),
            (None, false),
        ] {
            assert_eq!(selects(&march, key), expected, "{key:?}");
        }
        let two = Reprocess::keys(["x", "y"]);
        assert!(selects(&two, Some("y")) && !selects(&two, Some("z")));
        assert!(selects(&Reprocess::all(), None));
        let other = Reprocess::all().of("a::week");
        assert!(!selects(&other, Some("x")));
        assert!(selects(&Reprocess::range("2013-12-01"..), Some("2014")));
    }
}
