//! The error of each call when Pub/Sub refuses it.

#![cfg(feature = "pubsub")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{PublishRequest, PublishResponse};
use podpool::RunId;
use podpool::pubsub::credentials::{anonymous, mds};
use podpool::pubsub::{
    Admin, AdminError, ConnectError, Connection, PubSubQueue, QueueNames, RunLabels, RunNames,
    Which,
};
use podpool_core::queue::{LeaseId, Queue, QueueError};
use podpool_tests::pubsub::refusing::{Heard, Refusing, Said};
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::Code;

const LIMIT: Duration = Duration::from_secs(30);
/// Within this time a start reports that Pub/Sub does not answer.
const SOON: Duration = Duration::from_secs(5);

/// The error of each verb, by name.
async fn refusals(queue: &PubSubQueue) -> Vec<(&'static str, QueueError)> {
    let lease = [LeaseId::new("a-lease")];
    let put = queue.put(vec![Bytes::from_static(b"x")]).await;
    let errors = vec![
        ("put", put.into_iter().next().unwrap()),
        (
            "take",
            queue.take(1, Duration::from_secs(1)).await.map(drop),
        ),
        ("extend", queue.extend(&lease).await.remove(0)),
        ("ack", queue.ack(&lease).await.remove(0)),
        ("release", queue.release(&lease).await.remove(0)),
    ];
    let refused = |(verb, answer): (_, Result<(), QueueError>)| (verb, answer.expect_err(verb));
    errors.into_iter().map(refused).collect()
}

/// Every verb of a queue on a server that refuses so must give errors that pass `right` and hold `words` and the
/// names of what was called.
async fn all_say(code: Code, right: fn(&QueueError) -> bool, words: &[&str]) {
    let server = Refusing::always(code, "the server's own words").await;
    let errors = timeout(LIMIT, refusals(&server.queue())).await.unwrap();
    for (verb, error) in errors {
        let text = error.to_string();
        assert!(right(&error), "{verb}: {error:?}");
        let name = if verb == "put" {
            "topic tasks of project demo"
        } else {
            "subscription workers of project demo"
        };
        for words in words.iter().chain([&name, &"the server's own words"]) {
            assert!(text.contains(words), "{verb}: {words:?} is not in {text:?}");
        }
    }
    assert_eq!(server.heard().len(), 5, "each call is made once");
}

fn is_denied(error: &QueueError) -> bool {
    matches!(error, QueueError::Denied { .. })
}

#[tokio::test]
async fn missing_rights_are_named() {
    all_say(Code::PermissionDenied, is_denied, &["roles/pubsub."]).await;
    let server = Refusing::always(Code::PermissionDenied, "no").await;
    for (verb, error) in refusals(&server.queue()).await {
        let role = if verb == "put" {
            "roles/pubsub.publisher on the topic"
        } else {
            "roles/pubsub.subscriber on the subscription"
        };
        assert!(error.to_string().contains(role), "{verb}: {error}");
    }
}

#[tokio::test]
async fn missing_credentials_name_where_to_put_them() {
    let words = ["GOOGLE_APPLICATION_CREDENTIALS", "workload identity"];
    all_say(Code::Unauthenticated, is_denied, &words).await;
}

#[tokio::test]
async fn missing_queues_are_reported_as_gone() {
    let gone = |error: &QueueError| matches!(error, QueueError::Gone { .. });
    let words = ["create it or leave the names to podpool"];
    all_say(Code::NotFound, gone, &words).await;
}

#[tokio::test]
async fn a_spent_quota_may_be_tried_again() {
    let words = ["a quota is exhausted", "can be made again"];
    all_say(Code::ResourceExhausted, QueueError::is_transient, &words).await;
}

#[tokio::test]
async fn temporary_errors_may_be_tried_again() {
    for code in [Code::Unavailable, Code::Internal, Code::Aborted] {
        all_say(code, QueueError::is_transient, &[]).await;
    }
}

#[tokio::test]
async fn after_a_spent_quota_the_same_call_succeeds() {
    let calls = AtomicU32::new(0);
    let server = Refusing::start(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Said::No(Code::ResourceExhausted, "slow down"),
        _ => stored(1),
    })
    .await;
    let queue = server.queue();
    let message = || vec![Bytes::from_static(b"x")];
    assert!(
        queue
            .put(message())
            .await
            .remove(0)
            .unwrap_err()
            .is_transient()
    );
    queue.put(message()).await.remove(0).unwrap();
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_a_temporary_error() {
    let server = Refusing::always(Code::Internal, "").await;
    let connection = server.connection();
    drop(server);
    let lease = Duration::from_secs(10);
    let names = QueueNames::new("tasks", "workers");
    let queue = PubSubQueue::new(&connection, &names, lease, Some(lease)).unwrap();
    for (verb, error) in timeout(LIMIT, refusals(&queue)).await.unwrap() {
        assert!(error.is_transient(), "{verb}: {error:?}");
    }
}

#[tokio::test]
async fn no_call_goes_in_the_clear_to_a_server_without_tls() {
    let server = Refusing::always(Code::Internal, "").await;
    let address = server.connection().endpoint().replace("http:", "https:");
    let connection = Connection::builder()
        .project("demo")
        .endpoint(address)
        .credentials(anonymous::Builder::new().build())
        .open()
        .unwrap();
    let names = QueueNames::new("tasks", "workers");
    let queue = PubSubQueue::new(&connection, &names, Duration::from_secs(10), None).unwrap();
    for (verb, error) in timeout(LIMIT, refusals(&queue)).await.unwrap() {
        assert!(error.is_transient(), "{verb}: {error:?}");
    }
    assert!(server.heard().is_empty(), "a call was sent");
}

#[tokio::test]
async fn a_pull_that_hangs_is_an_empty_one() {
    let server = Refusing::start(|_| Said::Silence).await;
    let taken = timeout(LIMIT, server.queue().take(1, Duration::from_millis(100))).await;
    assert_eq!(taken.unwrap().unwrap(), []);
}

fn stored(messages: usize) -> Said {
    let ids = PublishResponse {
        message_ids: vec!["1".to_owned(); messages],
    };
    Said::Yes(ids.encode_to_vec().into())
}

#[tokio::test]
async fn one_bad_message_does_not_fail_its_batch() {
    let server = Refusing::start(|heard: &Heard| {
        let messages = PublishRequest::decode(heard.body.clone()).unwrap().messages;
        if messages.iter().any(|message| message.data == "bad") {
            Said::No(Code::InvalidArgument, "the message size is too large")
        } else {
            stored(messages.len())
        }
    })
    .await;
    let mut messages = vec![Bytes::from_static(b"good"); 20];
    messages[13] = Bytes::from_static(b"bad");
    for (at, answer) in server.queue().put(messages).await.into_iter().enumerate() {
        match answer {
            Ok(()) => assert_ne!(at, 13),
            Err(QueueError::TooLarge { size: 3, queue, .. }) => {
                assert_eq!((at, &*queue), (13, "topic tasks of project demo"));
            }
            Err(error) => panic!("message {at}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_confirmation_of_too_few_confirms_nothing() {
    let server = Refusing::start(|_| stored(1)).await;
    let answers = server.queue().put(vec![Bytes::from_static(b"x"); 2]).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert!(error.to_string().contains("of 2 messages 1"), "{error}");
    }
}

#[tokio::test]
async fn a_refused_lease_is_lost_and_the_others_are_not() {
    let server = Refusing::start(|heard: &Heard| {
        // A lease's name is in the encoded request as plain bytes, so a search of the body finds it.
        if heard.body.windows(5).any(|part| part == b"stale") {
            Said::No(Code::InvalidArgument, "PERMANENT_FAILURE_INVALID_ACK_ID")
        } else {
            Said::Yes(Bytes::new())
        }
    })
    .await;
    let leases = ["fresh-1", "stale", "fresh-2"].map(LeaseId::new);
    let answers = server.queue().ack(&leases).await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(&answers[1], Err(QueueError::LeaseLost(lost)) if *lost == leases[1]));
}

/// The error of every administrative call.
async fn admin_refusals(connection: &Connection) -> Vec<(&'static str, AdminError)> {
    let admin = Admin::new(connection);
    let run = RunId::new("nightly").unwrap();
    let names = RunNames::own("podpool", &run).unwrap();
    let now = SystemTime::UNIX_EPOCH;
    let labels = RunLabels {
        run: run.clone(),
        name: None,
        created: now,
        deadline: now,
    };
    let lease = Duration::from_secs(60);
    let create = admin.create(&names, &labels, lease).await;
    let control = admin.create_control(&names, &labels, lease, 0, 3).await;
    let mut errors = vec![
        ("create", create.unwrap_err()),
        ("create", control.unwrap_err()),
        ("read", admin.check(&names).await.unwrap_err()),
        (
            "list",
            admin.collect(now, &Which::PastDeadline).await.unwrap_err(),
        ),
    ];
    let left = admin.delete_run(&names, &run).await;
    assert_eq!(left.deleted, Vec::<String>::new());
    // The label with the owner must be read before an object is deleted.
    let reading = |(_, error)| ("read", error);
    let failed = left
        .failed
        .into_iter()
        .filter(|(_, error)| !error.to_string().contains("list the"));
    errors.extend(failed.map(reading));
    errors
}

#[tokio::test]
async fn administration_without_rights_names_them() {
    let server = Refusing::always(Code::PermissionDenied, "the server's own words").await;
    let errors = timeout(LIMIT, admin_refusals(&server.connection()))
        .await
        .unwrap();
    assert_eq!(
        errors.len(),
        4 + 5,
        "three topics and two subscriptions stay"
    );
    for (action, error) in errors {
        let text = error.to_string();
        assert!(matches!(error, AdminError::Denied { .. }), "{text}");
        for words in [
            action,
            "roles/pubsub.editor",
            "of project demo",
            "the server's own words",
        ] {
            assert!(text.contains(words), "{words:?} is not in {text:?}");
        }
    }
}

#[tokio::test]
async fn administration_without_credentials_names_where_to_put_them() {
    let server = Refusing::always(Code::Unauthenticated, "who are you").await;
    for (_, error) in timeout(LIMIT, admin_refusals(&server.connection()))
        .await
        .unwrap()
    {
        let text = error.to_string();
        assert!(matches!(error, AdminError::Denied { .. }), "{text}");
        assert!(text.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{text}");
    }
}

#[tokio::test]
async fn administration_over_quota_may_be_tried_later() {
    let server = Refusing::always(Code::ResourceExhausted, "10000 topics").await;
    for (action, error) in timeout(LIMIT, admin_refusals(&server.connection()))
        .await
        .unwrap()
    {
        let text = error.to_string();
        assert!(matches!(error, AdminError::Unavailable { .. }), "{text}");
        for words in [
            action,
            "a quota is exhausted: 10000 topics",
            "try again later",
        ] {
            assert!(text.contains(words), "{words:?} is not in {text:?}");
        }
    }
}

#[tokio::test]
async fn names_that_were_not_created_are_missing() {
    let server = Refusing::always(Code::NotFound, "").await;
    let admin = Admin::new(&server.connection());
    let run = RunId::new("nightly").unwrap();
    let names = RunNames::own("podpool", &run).unwrap();
    let error = timeout(LIMIT, admin.check(&names))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic podpool-nightly-tasks of project demo does not exist: create it, or leave the names to podpool"
    );
    // An object that is gone already counts as deleted.
    let left = timeout(LIMIT, admin.delete_run(&names, &run))
        .await
        .unwrap();
    assert_eq!(left, Default::default());
}

/// An address without a listener.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The error of a connection whose service is not reached, within the time in which a start must report that.
async fn not_reached(connection: &Connection) -> ConnectError {
    let reached = timeout(SOON, connection.reach()).await;
    reached.expect("it hangs").expect_err("no service is there")
}

fn at(endpoint: &str) -> Connection {
    let connection = Connection::builder().project("demo").endpoint(endpoint);
    connection.open().unwrap()
}

#[tokio::test]
async fn an_address_without_a_listener_is_reported_soon_with_the_variable() {
    let address = nobody().await;
    let error = not_reached(&at(&address)).await;
    let text = error.to_string();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{text}");
    for words in [&*address, "refused", "PUBSUB_EMULATOR_HOST"] {
        assert!(text.contains(words), "{words:?} is not in {text:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_no_machine_is_reported_soon() {
    let error = not_reached(&at("http://emulator.invalid:8085")).await;
    let text = error.to_string();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{text}");
    assert!(text.contains("http://emulator.invalid:8085"), "{text}");
}

#[tokio::test]
async fn another_service_at_the_address_is_reported_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            socket
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .ok();
        }
    });
    let error = not_reached(&at(&address)).await;
    serving.abort();
    let text = error.to_string();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{text}");
    assert!(text.contains(&address), "{text}");
}

#[tokio::test]
async fn a_service_that_answers_is_reached_whatever_it_answers() {
    for code in [Code::NotFound, Code::PermissionDenied, Code::Unavailable] {
        let server = Refusing::always(code, "no").await;
        let reached = timeout(LIMIT, server.connection().reach()).await;
        reached.unwrap().unwrap();
        assert_eq!(server.heard().len(), 1, "{code:?}: one call is sent");
    }
}

#[tokio::test]
async fn missing_credentials_are_reported_soon_with_the_variable() {
    let server = nobody().await;
    let nowhere = mds::Builder::default().with_endpoint(nobody().await);
    let connection = Connection::builder()
        .project("demo")
        .endpoint(server)
        .credentials(nowhere.build().unwrap());
    let error = not_reached(&connection.open().unwrap()).await;
    let text = error.to_string();
    assert!(matches!(error, ConnectError::Credentials(_)), "{text}");
    for words in ["GOOGLE_APPLICATION_CREDENTIALS", "PUBSUB_EMULATOR_HOST"] {
        assert!(text.contains(words), "{words:?} is not in {text:?}");
    }
    let server = Refusing::always(Code::Unauthenticated, "who are you").await;
    let error = not_reached(&server.connection()).await;
    assert!(matches!(error, ConnectError::Credentials(_)), "{error}");
}

#[tokio::test]
async fn a_project_that_does_not_exist_names_the_variables() {
    let server = Refusing::always(Code::NotFound, "no project demo").await;
    let admin = Admin::new(&server.connection());
    let run = RunId::new("nightly").unwrap();
    let names = RunNames::own("podpool", &run).unwrap();
    let now = SystemTime::UNIX_EPOCH;
    let labels = RunLabels {
        run,
        name: None,
        created: now,
        deadline: now,
    };
    let made = admin.create(&names, &labels, Duration::from_secs(60));
    let error = timeout(LIMIT, made).await.unwrap().unwrap_err().to_string();
    for words in ["GOOGLE_CLOUD_PROJECT", "no project demo"] {
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }
}
