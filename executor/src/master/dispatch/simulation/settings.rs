//! The settings of a simulated run.

use std::time::Duration;

use fastrand::Rng;
use podpool_core::broker::ClassId;
use podpool_core::envelope::MacKey;

use crate::master::limits::{FailureLimit, Limits};

use super::super::state::{MAX_RANGES, Settings};
use super::site::{LEASE, WORKERS};
use super::worker::{SLOTS, run_id};
use super::world::EPOCH;

/// Virtual time within which a task of every run starts, ends or is known to run.
const NO_PROGRESS: Duration = Duration::from_secs(60);

/// Settings of a run, drawn at random.
pub(super) fn settings(rng: &mut Rng) -> Settings {
    let seed = rng.u64(..);
    let few = rng.u8(..3) == 0;
    Settings {
        run: run_id(),
        mac_key: MacKey::Absent,
        seed,
        classes: vec![ClassId::DEFAULT],
        slots: WORKERS * SLOTS as usize,
        message_bytes: 1 << 20,
        batches_out: if few { 8 } else { 50 },
        bytes_out: if rng.u8(..3) == 0 { 600 } else { 1 << 20 },
        lease: LEASE,
        retries: None,
        limits: limits(rng),
        epoch: EPOCH,
        silence: Some(LEASE),
        build: String::new(),
        same_build: false,
        remote: true,
        workers: WORKERS,
        memory: None,
        elsewhere: rng.bool(),
        control_pause: Duration::from_millis(200),
        results_outlive: false,
        // Now and then the list is short. Drawn from a number that is drawn anyway: named seeds stay what they are.
        revoked_ranges: if seed % 8 == 5 { 2 } else { MAX_RANGES },
    }
}

/// Some runs end before their tasks do. None may ever count as without progress.
fn limits(rng: &mut Rng) -> Limits {
    let mut limits = Limits {
        no_progress: Some(NO_PROGRESS),
        ..Limits::default()
    };
    match rng.u8(..10) {
        0 => limits.deadline = Some(Duration::from_millis(rng.u64(100..40_000))),
        1 => limits.failures = Some(FailureLimit::count(rng.u64(1..12))),
        2 => {
            let share = f64::from(rng.u8(1..15)) / 100.0;
            limits.failures = Some(FailureLimit::share(share, rng.u64(1..100)));
        }
        _ => {}
    }
    limits
}
