//! Tests of the check before a run, against servers of the tests.

use super::*;

fn settings(emulator: bool) -> Settings {
    let lookup = move |name: &str| {
        (emulator && name == "PUBSUB_EMULATOR_HOST").then(|| "127.0.0.1:1".to_owned())
    };
    Settings::resolve(Some("demo"), None, lookup).unwrap()
}

#[test]
fn a_service_that_answers_with_codes_of_pubsub_is_reached() {
    for code in [
        Code::NotFound,
        Code::PermissionDenied,
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Internal,
        Code::DeadlineExceeded,
    ] {
        let answer = judge(&settings(true), Err(Status::new(code, "no")));
        assert!(answer.is_ok(), "{code:?}");
    }
    assert!(judge(&settings(true), Ok(())).is_ok());
}

#[test]
fn another_service_is_not_reached_and_the_variable_is_named() {
    let answer = || Err(Status::new(Code::Unimplemented, "no such path"));
    for emulator in [true, false] {
        let error = judge(&settings(emulator), answer()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{text}");
        for words in ["PUBSUB_EMULATOR_HOST", "is not Pub/Sub", "no such path"] {
            assert!(text.contains(words), "{words:?} is not in {text:?}");
        }
    }
}

#[test]
fn a_token_that_is_not_accepted_names_the_setting_for_another() {
    let answer = Err(Status::new(Code::Unauthenticated, "who are you"));
    let text = judge(&settings(false), answer).unwrap_err().to_string();
    for words in ["GOOGLE_APPLICATION_CREDENTIALS", "who are you"] {
        assert!(text.contains(words), "{words:?} is not in {text:?}");
    }
}
