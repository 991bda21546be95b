//! Each answer of Pub/Sub, and the error that a caller receives.

use super::*;

const TOPIC: &str = "projects/demo/topics/tasks";

fn refusal(code: Code, message: &str) -> Refusal {
    Refusal::from(Status::new(code, message))
}

fn told(code: Code, role: Role) -> (QueueError, String) {
    let error = refusal(code, "so it is.").into_queue_error(TOPIC, role);
    let text = error.to_string();
    assert!(text.contains("topic tasks of project demo"), "{text}");
    assert!(text.contains("so it is"), "{text}");
    (error, text)
}

#[test]
fn a_missing_role_is_named() {
    for (role, grant) in [
        (Role::Publisher, "roles/pubsub.publisher on the topic"),
        (
            Role::Subscriber,
            "roles/pubsub.subscriber on the subscription",
        ),
        (Role::Editor, "roles/pubsub.editor"),
    ] {
        let (error, text) = told(Code::PermissionDenied, role);
        assert!(matches!(error, QueueError::Denied { .. }), "{error:?}");
        assert!(text.contains(grant), "{text}");
    }
}

#[test]
fn missing_credentials_name_the_settings_for_them() {
    let (error, text) = told(Code::Unauthenticated, Role::Publisher);
    assert!(matches!(error, QueueError::Denied { .. }), "{error:?}");
    assert!(text.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{text}");
    assert!(text.contains("workload identity"), "{text}");
}

#[test]
fn a_missing_name_comes_with_advice_to_create_it() {
    let (error, text) = told(Code::NotFound, Role::Publisher);
    assert!(matches!(error, QueueError::Gone { .. }), "{error:?}");
    assert!(text.contains("create it or leave the names to podpool"));
}

#[test]
fn transient_errors_may_be_tried_again() {
    for code in [
        Code::ResourceExhausted,
        Code::Unavailable,
        Code::Internal,
        Code::Aborted,
        Code::Unknown,
        Code::Cancelled,
        Code::DeadlineExceeded,
    ] {
        let (error, _) = told(code, Role::Publisher);
        assert!(error.is_transient(), "{code:?}: {error:?}");
    }
    let (_, text) = told(Code::ResourceExhausted, Role::Publisher);
    assert!(text.contains("a quota is exhausted"), "{text}");
}

#[test]
fn an_answer_without_text_shows_its_code() {
    let error = refusal(Code::Internal, "").into_queue_error(TOPIC, Role::Publisher);
    assert!(
        error.to_string().contains(Code::Internal.description()),
        "{error}"
    );
}

#[test]
fn refusals_for_size_are_distinguished_from_other_invalid_requests() {
    assert!(
        refusal(
            Code::InvalidArgument,
            "Request payload size exceeds the limit"
        )
        .is_about_size()
    );
    assert!(!refusal(Code::InvalidArgument, "Invalid resource name given").is_about_size());
    assert!(!refusal(Code::Unavailable, "size").is_about_size());
}

#[test]
fn a_call_of_an_administrator_without_a_token_names_the_setting_for_it() {
    let missing = CredentialsError::from_msg(true, "no metadata server");
    let error = Refusal::from(&missing)
        .final_for_administration()
        .into_admin_error("create", "topic t of project p".to_owned());
    let text = error.to_string();
    assert!(matches!(error, AdminError::Denied { .. }), "{text}");
    for words in [
        "cannot create topic t of project p",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "no metadata server",
    ] {
        assert!(text.contains(words), "{text}");
    }
}
