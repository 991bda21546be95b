//! Which calls are made again, and after how long.

use super::*;

fn refusal(code: Code) -> Refusal {
    Refusal::from(Status::new(code, "so it is"))
}

#[test]
fn what_may_pass_is_tried_five_times_with_growing_pauses() {
    for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Unknown] {
        let pauses: Vec<_> = (1..TRIES)
            .map(|tries| pause(&refusal(code), tries, 1.0).unwrap().as_millis())
            .collect();
        assert_eq!(pauses, [200, 400, 800, 1_600], "{code:?}");
        assert_eq!(pause(&refusal(code), TRIES, 1.0), None);
        let least = pause(&refusal(code), 1, 0.0).unwrap();
        assert_eq!(least, Duration::from_millis(100));
    }
}

#[test]
fn an_answer_is_final() {
    for code in [
        Code::AlreadyExists,
        Code::NotFound,
        Code::InvalidArgument,
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::ResourceExhausted,
    ] {
        assert_eq!(pause(&refusal(code), 1, 1.0), None, "{code:?}");
    }
}
