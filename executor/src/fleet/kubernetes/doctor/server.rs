//! The API server itself: its version, and its clock.

use std::time::{Duration, SystemTime};

use http::Request;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::version::Info;

use super::super::client::Cluster;
use super::ask::{NoAnswer, send};
use crate::doctor::{Line, bounded};

pub(super) const VERSION: &str = "kubernetes.version";
pub(super) const CLOCK: &str = "kubernetes.clock";

/// The oldest minor version of Kubernetes 1 on which pod failure policies and terminal conditions of Jobs are as the
/// fleet needs them. <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy>
const OLDEST: u32 = 31;
/// From this one on, everything that the fleet uses is stable.
const SOUND: u32 = 33;
/// Differences of the clocks: what is worth a look, and what makes tokens invalid.
// Tokens of a service account are accepted some minutes before and after their time; leases and deadlines of a run are
// counted by each side's own clock.
const NOTED: Duration = Duration::from_secs(30);
const TOO_FAR: Duration = Duration::from_secs(300);

/// Asks for the version, and reads the date of the answer.
pub(super) async fn look(cluster: &Cluster) -> Vec<Line> {
    let late = |why| Line::fail(VERSION, why, "kubectl version".to_owned());
    bounded(late, ask(cluster)).await
}

async fn ask(cluster: &Cluster) -> Vec<Line> {
    let sent = now();
    let answer = send(cluster, Request::get("/version").body(Vec::new())).await;
    let received = now();
    let answer = match answer {
        Ok(answer) => answer,
        Err(no) => {
            let reason = match no {
                NoAnswer::Refused(status) => status.message.clone(),
                NoAnswer::Lost(reason) => reason,
            };
            let command = "kubectl version".to_owned();
            let unknown = "the API server's time is not known";
            return vec![
                Line::fail(VERSION, reason, command),
                Line::skipped(CLOCK, unknown),
            ];
        }
    };
    let version = match answer.read::<Info>() {
        Ok(info) => judge_version(&info),
        Err(reason) => Line::fail(VERSION, reason, "kubectl version".to_owned()),
    };
    let clock = match answer.date.as_deref().and_then(seconds_of) {
        Some(theirs) => judge_clock(skew(sent, received, theirs)),
        None => Line::skipped(CLOCK, "the answer of the API server has no date"),
    };
    vec![version, clock]
}

/// Judges the version that the server states. Clouds write the minor version as `33+`.
fn judge_version(info: &Info) -> Line {
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit());
        text[..end.unwrap_or(text.len())].parse::<u32>().ok()
    };
    let name = &info.git_version;
    let fix = format!("upgrade the control plane to Kubernetes 1.{SOUND} or newer");
    match (digits(&info.major), digits(&info.minor)) {
        (Some(1), Some(minor)) if minor < OLDEST => {
            let seen = format!("{name}; Kubernetes 1.{OLDEST} or newer is needed");
            Line::fail(VERSION, seen, fix)
        }
        (Some(1), Some(minor)) if minor < SOUND => {
            let seen =
                format!("{name}; features of Jobs that a run uses are stable from 1.{SOUND} on");
            Line::warn(VERSION, seen, fix)
        }
        (Some(1..), Some(_)) => Line::pass(VERSION, name),
        _ => Line::warn(
            VERSION,
            format!("{name:?} is no version that can be compared with 1.{OLDEST}"),
            "kubectl version".to_owned(),
        ),
    }
}

/// The seconds since 1970 of a date as HTTP writes it.
/// <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7>
fn seconds_of(date: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(parsed.timestamp().as_second())
}

/// How far this machine's clock is ahead of the server's, in seconds; behind it, the number is negative. The server's
/// second lies somewhere between the request and the answer, and a second is what its header can tell.
fn skew(sent: Timestamp, received: Timestamp, theirs: i64) -> i64 {
    let (sent, received) = (sent.as_second(), received.as_second());
    if theirs < sent {
        sent - theirs
    } else if theirs > received {
        received - theirs
    } else {
        0
    }
}

fn judge_clock(ahead: i64) -> Line {
    let off = Duration::from_secs(ahead.unsigned_abs());
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let fix = || "synchronise this machine's clock: timedatectl set-ntp true".to_owned();
    if off > TOO_FAR {
        let seen = format!(
            "this machine's clock is {off:?} {way} the API server's: tokens are not accepted"
        );
        Line::fail(CLOCK, seen, fix())
    } else if off > NOTED {
        let seen = format!("this machine's clock is {off:?} {way} the API server's");
        Line::warn(CLOCK, seen, fix())
    } else {
        Line::pass(CLOCK, "within 30 s of the API server's")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the wall clock is what is compared"
)]
fn now() -> Timestamp {
    // A clock that is out of jiff's range is far off, and is reported so.
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    fn version(major: &str, minor: &str) -> Outcome {
        let info = Info {
            major: major.to_owned(),
            minor: minor.to_owned(),
            git_version: format!("v{major}.{minor}.4"),
            ..Info::default()
        };
        judge_version(&info).outcome
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(version("1", "34"), Outcome::Pass);
        assert_eq!(version("1", "33+"), Outcome::Pass);
        assert_eq!(version("1", "100"), Outcome::Pass);
        assert_eq!(version("2", "0"), Outcome::Pass);
        assert_eq!(version("1", "32"), Outcome::Warn);
        assert_eq!(version("1", "31-gke.7"), Outcome::Warn);
        assert_eq!(version("1", "30+"), Outcome::Fail);
        assert_eq!(version("1", "9"), Outcome::Fail);
        assert_eq!(version("", ""), Outcome::Warn);
    }

    #[test]
    fn clocks_are_judged_by_their_distance_in_both_directions() {
        for (ahead, outcome) in [
            (0, Outcome::Pass),
            (30, Outcome::Pass),
            (-30, Outcome::Pass),
            (31, Outcome::Warn),
            (-300, Outcome::Warn),
            (301, Outcome::Fail),
            (i64::MIN, Outcome::Fail),
        ] {
            assert_eq!(judge_clock(ahead).outcome, outcome, "{ahead}");
        }
        assert!(judge_clock(-60).seen.contains("behind"));
        assert!(judge_clock(60).seen.contains("ahead"));
    }

    #[test]
    fn a_slow_answer_is_no_skew() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(skew(at(100), at(108), 104), 0);
        assert_eq!(skew(at(100), at(108), 60), 40);
        assert_eq!(skew(at(100), at(108), 118), -10);
    }

    #[test]
    fn the_date_of_an_answer_is_read_as_http_writes_it() {
        assert_eq!(
            seconds_of("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        assert_eq!(seconds_of("yesterday"), None);
    }
}
