//! The program of a simulated run: it makes the same calls in every life, in the same order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use podpool_core::ledger::{Content, Identity};
use podpool_core::task::{CallOptions, TaskSpec};

use super::super::script::Script;
use super::super::world::TASKS_BY_TYPE;

/// Calls of each life.
pub(super) const CALLS: usize = 60;

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) script: Script,
    pub(super) spec: &'static TaskSpec,
    pub(super) key: Option<Arc<str>>,
    pub(super) arguments: Vec<u8>,
    pub(super) retries: u32,
    pub(super) priority: i32,
    /// Calls of one identity are one task.
    pub(super) identity: Identity,
    /// Whether no other call has its key, or its arguments.
    pub(super) alone: bool,
}

impl Call {
    pub(super) fn options(&self, force: bool) -> Box<CallOptions> {
        let mut options = CallOptions::default();
        options.key = self.key.clone();
        options.retries = Some(self.retries);
        let seconds = if self.script == Script::Long { 60 } else { 1 };
        options.timeout = Some(Duration::from_secs(seconds));
        options.priority = self.priority;
        options.force = force;
        Box::new(options)
    }
}

/// All calls, and what the program knows.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) calls: Vec<Call>,
    /// Calls whose cancel was confirmed, and that are not made again.
    pub(super) given_up: BTreeSet<usize>,
}

impl Program {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let mut calls: Vec<Call> = Vec::new();
        for number in 0..CALLS {
            let call = match rng.u8(..100) {
                0..12 if number > 0 => again(&mut calls, rng),
                _ => fresh(number, rng),
            };
            calls.push(call);
        }
        Self {
            calls,
            given_up: BTreeSet::new(),
        }
    }
}

fn fresh(number: usize, rng: &mut Rng) -> Call {
    let script = Script::random(rng);
    // Scripts that fail are rare, and are what restarts must not confuse.
    let script = if rng.u8(..4) == 0 {
        Script::any(rng)
    } else {
        script
    };
    let spec = &TASKS_BY_TYPE[2 * usize::from(rng.u8(..10) == 0)];
    let arguments = vec![script as u8, 1, number as u8];
    let key = (rng.u8(..3) == 0).then(|| format!("key-{number}").into());
    Call {
        script,
        spec,
        identity: identity(spec.name, key.as_deref(), &arguments, 0),
        key,
        arguments,
        retries: 1 + rng.u32(..3),
        priority: rng.i32(-1..2),
        alone: true,
    }
}

/// An earlier call once more: the same task where it has a key, and a task of its own where it has none.
fn again(calls: &mut [Call], rng: &mut Rng) -> Call {
    let which = rng.usize(..calls.len());
    calls[which].alone = false;
    let mut call = calls[which].clone();
    let equal = |it: &&Call| it.key.is_none() && it.arguments == call.arguments;
    let before = calls.iter().filter(equal).count() as u64;
    call.identity = identity(call.spec.name, call.key.as_deref(), &call.arguments, before);
    call
}

fn identity(name: &str, key: Option<&str>, arguments: &[u8], before: u64) -> Identity {
    match key {
        Some(key) => Identity::keyed(name, key),
        None => Identity::counted(name, Content::of(arguments), before),
    }
}
