//! Times of workers, and what they send.

use std::time::Duration;

use super::super::given::{bytes, duration, fill, flag};
use super::super::row::{Check, Row, Wrong, one};
use super::super::units::{show_bytes, show_duration};
use super::super::{KEPT, MAX_DEADLINE};

/// Bytes a second that a worker on a cluster may send: a message must carry four seconds of it.
// 8 MiB at 2 MiB a second; Pub/Sub carries messages of 10 MB. At double it would not.
const FORWARDED: std::ops::RangeInclusive<u64> = 1 << 10..=2 << 20;

pub(super) const ROWS: [Row; 8] = [
    // A grace of 6 s leaves 1 s for tasks, because a task that has not ended 5 s before the SIGKILL is stopped.
    Row::new("grace", "PODPOOL_GRACE", "grace", |spec, given| {
        fill(&mut spec.grace, given, duration)
    })
    .or("30s")
    .check(|spec| within(spec.grace, 6, Some(3600)))
    .shown(|spec| one(spec.grace.as_ref(), |time| show_duration(*time))),
    // Pub/Sub keeps queues for 31 days, so a run may last 30.
    Row::new(
        "run_deadline",
        "PODPOOL_RUN_DEADLINE",
        "run_deadline",
        |spec, given| fill(&mut spec.deadline, given, duration),
    )
    .or("7d")
    .check(|spec| within(spec.deadline, 60, Some(MAX_DEADLINE.as_secs())))
    .shown(|spec| one(spec.deadline.as_ref(), |time| show_duration(*time))),
    Row::new(
        "keep_finished",
        "PODPOOL_KEEP_FINISHED",
        "keep_finished",
        |spec, given| fill(&mut spec.keep_finished, given, duration),
    )
    .or("1h")
    .check(|spec| within(spec.keep_finished, 0, Some(MAX_DEADLINE.as_secs())))
    .shown(|spec| one(spec.keep_finished.as_ref(), |time| show_duration(*time)))
    .write(|spec, draft| {
        if let Some(time) = spec.keep_finished {
            draft.ttl = i32::try_from(time.as_secs()).unwrap_or(KEPT);
        }
    }),
    // A longer time than any run can last is no limit.
    Row::new(
        "idle_timeout",
        "PODPOOL_IDLE_TIMEOUT",
        "idle_timeout",
        |spec, given| fill(&mut spec.idle_timeout, given, duration),
    )
    .or("5m")
    .check(|spec| within(spec.idle_timeout, 10, None))
    .shown(|spec| one(spec.idle_timeout.as_ref(), |time| show_duration(*time))),
    Row::new(
        "start_timeout",
        "PODPOOL_START_TIMEOUT",
        "start_timeout",
        |spec, given| fill(&mut spec.start_timeout, given, duration),
    )
    .or("60s")
    .check(|spec| within(spec.start_timeout, 1, None))
    .shown(|spec| one(spec.start_timeout.as_ref(), |time| show_duration(*time))),
    Row::new(
        "schedule_timeout",
        "PODPOOL_SCHEDULE_TIMEOUT",
        "schedule_timeout",
        |spec, given| fill(&mut spec.schedule_timeout, given, duration),
    )
    .or("5m")
    .check(|spec| within(spec.schedule_timeout, 1, None))
    .shown(|spec| one(spec.schedule_timeout.as_ref(), |time| show_duration(*time))),
    Row::new(
        "output_rate",
        "PODPOOL_WORKER_OUTPUT_RATE",
        "output_rate",
        |spec, given| fill(&mut spec.output_rate, given, bytes),
    )
    .or("64Ki")
    .check(|spec| match spec.output_rate {
        Some(rate) if !FORWARDED.contains(&rate) => {
            Err(Wrong::new(rate, "a worker sends 1 KiB to 2 MiB a second"))
        }
        _ => Ok(()),
    })
    .shown(|spec| one(spec.output_rate.as_ref(), |rate| show_bytes(*rate))),
    Row::new(
        "require_same_build",
        "PODPOOL_REQUIRE_SAME_BUILD",
        "require_same_build",
        |spec, given| fill(&mut spec.same_build, given, flag),
    )
    .or("false")
    .shown(|spec| one(spec.same_build.as_ref(), bool::to_string)),
];

fn within(time: Option<Duration>, least: u64, most: Option<u64>) -> Check {
    let Some(time) = time else { return Ok(()) };
    let too_long = most.is_some_and(|most| time > Duration::from_secs(most));
    if time >= Duration::from_secs(least) && !too_long {
        return Ok(());
    }
    let reason = match most {
        Some(most) => format!("use {least} s to {most} s"),
        None => format!("use {least} s or more"),
    };
    Err(Wrong::new(format_args!("{time:?}"), reason))
}
