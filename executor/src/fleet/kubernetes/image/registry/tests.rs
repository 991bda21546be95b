//! The client against a registry that refuses, fails and comes back.

use std::io::Write;

use super::super::credentials::Login;
use super::super::digest::Digest;
use super::fake::{Does, FakeRegistry, Gate, REFRESH, login, times};
use super::*;

fn nobody() -> Found {
    Found::nothing("/home/ada/.docker/config.json".to_owned())
}

fn with_password(password: &str) -> Found {
    Found {
        login: Some(Login::Basic {
            user: "ada".to_owned(),
            password: password.to_owned(),
        }),
        ..nobody()
    }
}

async fn upload(registry: &Registry, bytes: &[u8]) -> Result<(), String> {
    let uploaded = registry
        .upload(&Digest::of(bytes), Blob::Bytes(bytes))
        .await;
    uploaded.map_err(|error| error.to_string())
}

#[track_caller]
fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
}

#[tokio::test]
async fn a_blob_is_uploaded_from_memory_and_from_a_file() {
    let fake = FakeRegistry::start(Gate::Open).await;
    let registry = fake.client("team/flights", nobody());
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    let mut file = super::super::layer::temporary().unwrap();
    file.write_all(&large).unwrap();
    for (bytes, blob) in [
        (&b"config"[..], Blob::Bytes(b"config")),
        (&large, Blob::File(&file, large.len() as u64)),
    ] {
        let digest = Digest::of(bytes);
        assert!(!registry.has_blob(&digest).await.unwrap());
        registry.upload(&digest, blob).await.unwrap();
        assert!(registry.has_blob(&digest).await.unwrap());
        let key = ("team/flights".to_owned(), digest.to_string());
        assert!(fake.held().blobs[&key] == bytes);
    }
    assert_eq!(fake.uploads(), 2);
}

#[tokio::test]
async fn a_token_is_fetched_where_one_is_wanted_and_the_request_sent_again() {
    let fake = FakeRegistry::start(Gate::Bearer).await;
    let registry = fake.client("team/flights", login());
    upload(&registry, b"layer").await.unwrap();
    let log = fake.log();
    assert!(
        log[0].starts_with("POST /v2/team/flights/blobs/uploads/"),
        "{log:?}"
    );
    assert!(
        log[1].starts_with("GET /token?service=fake&scope="),
        "{log:?}"
    );
    assert_eq!(fake.held().scopes, ["repository:team/flights:pull,push"]);
    upload(&registry, b"another").await.unwrap();
    let log = fake.log();
    assert!(
        log.iter().all(|line| !line.contains("/token")),
        "one token serves all: {log:?}"
    );
}

#[tokio::test]
async fn an_identity_token_is_given_for_a_token() {
    let fake = FakeRegistry::start(Gate::Bearer).await;
    let identity = |token: &str| Found {
        login: Some(Login::Identity(token.to_owned())),
        ..nobody()
    };
    let registry = fake.client("flights", identity(REFRESH));
    upload(&registry, b"layer").await.unwrap();
    assert!(fake.log().contains(&"POST /token".to_owned()));
    let error = upload(&fake.client("flights", identity("old")), b"other")
        .await
        .unwrap_err();
    says(&error, &["does not accept the login", "docker login"]);
    let basic = FakeRegistry::start(Gate::Basic).await;
    let error = upload(&basic.client("flights", identity(REFRESH)), b"layer")
        .await
        .unwrap_err();
    says(&error, &["it wants a password", "identity token"]);
}

#[tokio::test]
async fn a_password_goes_with_each_request_where_that_is_wanted() {
    let fake = FakeRegistry::start(Gate::Basic).await;
    upload(&fake.client("flights", login()), b"layer")
        .await
        .unwrap();
    assert_eq!(fake.held().blobs.len(), 1);
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_one_are_told_apart() {
    for gate in [Gate::Basic, Gate::Bearer] {
        let fake = FakeRegistry::start(gate).await;
        let wrong = upload(&fake.client("team/flights", with_password("s3cret")), b"x")
            .await
            .unwrap_err();
        let place = format!("{}/team/flights", fake.host);
        let login = format!("docker login {}", fake.host);
        says(&wrong, &[&place, "401", "config.json", &login]);
        assert!(!wrong.contains("s3cret"), "{wrong}");
        let none = upload(&fake.client("team/flights", nobody()), b"x")
            .await
            .unwrap_err();
        let found = match gate {
            Gate::Basic => "no login was found",
            _ => "none was found",
        };
        says(&none, &[&place, "401", found, "config.json", &login]);
    }
}

#[tokio::test]
async fn tokens_without_a_login_are_fetched_too() {
    let fake = FakeRegistry::start(Gate::Anonymous).await;
    upload(&fake.client("flights", nobody()), b"layer")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_token_that_ends_is_fetched_again() {
    let fake = FakeRegistry::start(Gate::Bearer).await;
    let registry = fake.client("flights", login());
    assert!(!registry.has_blob(&Digest::of(b"x")).await.unwrap());
    // At the beginning of an upload, and during one.
    *lock(&registry.authorization) = Some(HeaderValue::from_static("Bearer old"));
    upload(&registry, b"one").await.unwrap();
    fake.fault("PUT /upload", Does::Forget);
    upload(&registry, b"two").await.unwrap();
    assert_eq!(fake.held().scopes.len(), 3);
    assert_eq!(fake.held().blobs.len(), 2);
}

#[tokio::test]
async fn a_registry_that_is_busy_or_breaks_off_is_asked_again() {
    let fake = FakeRegistry::start(Gate::Open).await;
    let registry = fake.client("flights", nobody());
    for does in [
        Does::Status(500, None),
        Does::Status(429, Some(0)),
        Does::Close,
    ] {
        fake.fault("POST /v2", does.clone());
        fake.fault("PUT /upload", does.clone());
        fake.fault("PUT /upload", Does::Status(404, None));
        let bytes = format!("{does:?}");
        upload(&registry, bytes.as_bytes()).await.unwrap();
        assert!(fake.held().faults.is_empty(), "{does:?}");
    }
    assert_eq!(fake.held().blobs.len(), 3);
}

#[tokio::test]
async fn a_registry_that_stays_busy_is_an_error_with_its_name() {
    let fake = FakeRegistry::start(Gate::Open).await;
    for _ in 0..4 {
        fake.fault("HEAD", Does::Status(503, None));
    }
    let registry = fake.client("flights", nobody());
    let error = registry
        .has_blob(&Digest::of(b"x"))
        .await
        .unwrap_err()
        .to_string();
    says(&error, &[&fake.host, "flights", "503", "PODPOOL_REGISTRY"]);
    assert_eq!(fake.log().len(), 4, "the first try and one for each pause");
    for _ in 0..4 {
        fake.fault("PUT /upload", Does::Status(502, None));
    }
    let error = upload(&registry, b"x").await.unwrap_err();
    says(&error, &["502", "flights"]);
    assert_eq!(fake.uploads(), 4);
}

#[tokio::test]
async fn a_refusal_that_stays_is_not_repeated() {
    let fake = FakeRegistry::start(Gate::Open).await;
    let registry = fake.client("team/flights", login());
    for (status, words) in [
        (403, &["no right to write"][..]),
        (404, &["made first", "ECR", "team/flights"]),
        (413, &["strip"]),
        (400, &["it is 400 (FAULT)", "PODPOOL_REGISTRY"]),
    ] {
        fake.fault("POST", Does::Status(status, None));
        let error = upload(&registry, b"x").await.unwrap_err();
        says(&error, words);
        says(&error, &[&fake.host, &status.to_string()]);
        assert_eq!(fake.log().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_registry_that_answers_nothing_is_an_error_within_its_time() {
    let fake = FakeRegistry::start(Gate::Open).await;
    let short = Times {
        answer: Duration::from_millis(100),
        stall: Duration::from_millis(100),
        pauses: vec![Duration::from_millis(1)],
    };
    let registry = fake.client_with("flights", nobody(), &short);
    for request in ["HEAD", "HEAD"] {
        fake.fault(request, Does::Hang);
    }
    let error = registry
        .has_blob(&Digest::of(b"x"))
        .await
        .unwrap_err()
        .to_string();
    says(&error, &["no answer within 100ms", "flights"]);
    for _ in 0..2 {
        fake.fault("PUT /upload", Does::Hang);
    }
    let error = upload(&registry, &vec![1; 40 << 20]).await.unwrap_err();
    says(&error, &["no progress within 100ms", "flights"]);
}

#[tokio::test]
async fn no_registry_at_all_is_named_with_the_options() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let place = Place::registry(&format!("{host}/team")).unwrap();
    let error = |plain: bool| {
        let place = place.clone();
        async move {
            let http = http().unwrap();
            let registry =
                Registry::open(&http, place, (Access::Push, plain), nobody(), &times()).unwrap();
            registry.manifest_of_tag("x").await.unwrap_err().to_string()
        }
    };
    let said = error(true).await;
    says(&said, &[&host, "PODPOOL_REGISTRY", "refused"]);
    assert!(!said.contains("INSECURE"), "{said}");
    says(&error(false).await, &["PODPOOL_REGISTRY_INSECURE"]);
}

#[tokio::test]
async fn a_password_is_not_sent_without_encryption_to_another_server() {
    let fake = FakeRegistry::start(Gate::Open).await;
    let place = Place::registry("registry.example/team").unwrap();
    let http = http().unwrap();
    let registry = Registry::open(&http, place, (Access::Push, false), login(), &times()).unwrap();
    let answer = reqwest::Response::from(
        http::Response::builder()
            .status(401)
            .header(
                "WWW-Authenticate",
                format!("Bearer realm=\"http://{}/token\"", fake.host),
            )
            .body("")
            .unwrap(),
    );
    let error = registry
        .authorize("write", &answer)
        .await
        .unwrap_err()
        .to_string();
    says(&error, &["without encryption", "registry.example/team"]);
    assert_eq!(fake.log(), Vec::<String>::new());
    // A store to which the registry sends a request gets no login either.
    *lock(&registry.authorization) = Some(HeaderValue::from_static("Bearer x"));
    let sent = |url: &str| {
        let request = registry.authorized(registry.http.put(url)).unwrap();
        request.headers().contains_key(AUTHORIZATION)
    };
    assert!(sent("https://registry.example/v2/x"));
    for other in [
        "https://store.example/v2/x",
        "http://registry.example/v2/x",
        "https://registry.example:8443/x",
    ] {
        assert!(!sent(other), "{other}");
    }
}

#[tokio::test]
async fn a_manifest_is_found_by_its_tag_and_compared_with_its_digest() {
    let fake = FakeRegistry::start(Gate::Open).await;
    let registry = fake.client("flights", nobody());
    assert_eq!(registry.manifest_of_tag("podpool-1").await.unwrap(), None);
    let document = br#"{"config":{"digest":"x"},"layers":[]}"#;
    fake.held()
        .blobs
        .insert(("flights".to_owned(), "x".to_owned()), Vec::new());
    registry.put_manifest("podpool-1", document).await.unwrap();
    let digest = Digest::of(document);
    for silent in [false, true] {
        fake.held().silent = silent;
        assert_eq!(
            registry.manifest_of_tag("podpool-1").await.unwrap(),
            Some(digest.clone())
        );
    }
    assert_eq!(registry.manifest(&digest).await.unwrap(), document);
    fake.fault("GET", Does::Send(b"{}".to_vec()));
    let error = registry.manifest(&digest).await.unwrap_err().to_string();
    says(&error, &["another document", "flights"]);
    // The answer to HEAD has no reason; that to GET has.
    fake.fault("HEAD", Does::Status(403, None));
    fake.fault("GET", Does::Status(403, None));
    let error = registry
        .manifest_of_tag("podpool-1")
        .await
        .unwrap_err()
        .to_string();
    says(&error, &["it is 403 (FAULT)"]);
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository_of_the_registry_alone() {
    let fake = FakeRegistry::start(Gate::Bearer).await;
    let digest = fake.put_blob("base", b"layer");
    let base = fake.place("base");
    let registry = fake.client("flights", login()).reading(&base);
    assert!(registry.mount(&digest, &base).await.unwrap());
    assert!(registry.has_blob(&digest).await.unwrap());
    let log = fake.log().join("\n");
    assert!(
        log.contains("scope=repository%3Aflights%3Apull%2Cpush&scope=repository%3Abase%3Apull"),
        "{log}"
    );
    assert!(!registry.mount(&Digest::of(b"absent"), &base).await.unwrap());
    let elsewhere = Place::registry("registry.example/base").unwrap();
    fake.log();
    assert!(!registry.mount(&digest, &elsewhere).await.unwrap());
    assert_eq!(fake.log(), Vec::<String>::new());
    fake.fault("POST", Does::Status(403, None));
    assert!(
        !registry.mount(&digest, &base).await.unwrap(),
        "no right to mount"
    );
}

#[tokio::test]
async fn a_download_is_compared_and_begun_again() {
    let fake = FakeRegistry::start(Gate::Open).await;
    let registry = fake.client("base", nobody());
    let bytes = vec![7; 1_000_000];
    let digest = fake.put_blob("base", &bytes);
    fake.fault("GET", Does::Close);
    fake.fault("GET", Does::Send(b"half".to_vec()));
    let mut file = registry
        .download(&digest, bytes.len() as u64)
        .await
        .unwrap();
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut read).unwrap();
    assert!(read == bytes);
    fake.fault("GET", Does::Send(vec![8; 1_000_000]));
    let error = registry
        .download(&digest, 1_000_000)
        .await
        .unwrap_err()
        .to_string();
    says(&error, &["other bytes", "base"]);
    let error = registry
        .download(&digest, 10)
        .await
        .unwrap_err()
        .to_string();
    says(&error, &["more than 10 bytes"]);
}
