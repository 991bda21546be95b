//! Logins in every form in which Docker's tools write them, and helpers that fail.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::super::libraries::tests::Folder;
use super::*;

fn basic(user: &str, password: &str) -> Option<Login> {
    Some(Login::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

/// The login for a repository by this configuration.
async fn found(config: &Value, repository: &str) -> Result<Found, String> {
    let folder = Folder::new();
    let file = folder.write("config.json", config.to_string().as_bytes());
    find(file, repository).await
}

async fn find(file: PathBuf, repository: &str) -> Result<Found, String> {
    let logins = Logins {
        file: Some(file),
        patience: Duration::from_secs(10),
    };
    let place = Place::registry(repository).unwrap();
    logins.find(&place).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_registry_is_found_under_each_of_its_keys() {
    for (key, repository) in [
        ("registry.example", "registry.example/team/flights"),
        ("https://registry.example", "registry.example/flights"),
        ("https://registry.example/v2/", "registry.example/flights"),
        ("registry.example/team", "registry.example/team/flights"),
        ("localhost:5000", "localhost:5000/flights"),
        ("https://index.docker.io/v1/", "docker.io/ada/flights"),
        ("docker.io", "index.docker.io/ada/flights"),
    ] {
        let config = json!({"auths": {key: {"auth": encoded("ada:se:cret")}}});
        let found = found(&config, repository).await.unwrap();
        assert!(found.login == basic("ada", "se:cret"), "{key}");
        assert!(!found.short_lived && found.source.ends_with("config.json"));
    }
}

#[tokio::test]
async fn another_registry_has_no_login() {
    let auth = json!({"auth": encoded("ada:secret")});
    let config = json!({"auths": {"registry.example/team": auth, "registry.example:5000": auth, "example": {}}});
    for repository in [
        "registry.example/teams/x",
        "registry.example/x",
        "other.example/team/x",
    ] {
        let found = found(&config, repository).await.unwrap();
        assert!(found.login.is_none(), "{repository}");
    }
}

#[tokio::test]
async fn the_longest_key_counts() {
    let config = json!({"auths": {
        "registry.example": {"auth": encoded("all:1")},
        "registry.example/team/own": {"auth": encoded("own:3")},
        "registry.example/team": {"auth": encoded("team:2")},
    }});
    for (repository, user, password) in [
        ("registry.example/team/x", "team", "2"),
        ("registry.example/team/own", "own", "3"),
        ("registry.example/x", "all", "1"),
    ] {
        assert!(found(&config, repository).await.unwrap().login == basic(user, password));
    }
}

#[tokio::test]
async fn each_form_of_a_login_is_read() {
    let at = |auth: Value| json!({"auths": {"x.example": auth}});
    let login = async |auth: Value| found(&at(auth), "x.example/y").await.unwrap();
    assert!(
        login(json!({"username": "ada", "password": "p"}))
            .await
            .login
            == basic("ada", "p")
    );
    let unpadded = encoded("ada:pp").trim_end_matches('=').to_owned();
    assert!(login(json!({"auth": unpadded})).await.login == basic("ada", "pp"));
    let identity = json!({"auth": encoded("ada:"), "identitytoken": "refresh"});
    assert!(login(identity).await.login == Some(Login::Identity("refresh".to_owned())));
    let named = json!({"auth": encoded("<token>:refresh")});
    assert!(login(named).await.login == Some(Login::Identity("refresh".to_owned())));
    let cloud = login(json!({"auth": encoded("oauth2accesstoken:ya29")})).await;
    assert!(cloud.short_lived);
}

#[tokio::test]
async fn what_cannot_be_read_is_named_without_the_secret() {
    let config = json!({"auths": {"x.example": {"auth": "s3cret!"}}});
    let error = found(&config, "x.example/y").await.err().unwrap();
    assert!(
        error.contains("x.example") && !error.contains("s3cret"),
        "{error}"
    );
    let folder = Folder::new();
    let file = folder.write("config.json", b"{");
    let error = find(file, "x.example/y").await.err().unwrap();
    assert!(error.contains("config.json"), "{error}");
    let absent = find(folder.path().join("absent.json"), "x.example/y")
        .await
        .unwrap();
    assert!(absent.login.is_none() && absent.source.ends_with("absent.json"));
}

#[test]
fn the_file_is_where_docker_looks() {
    let at = |set: &[(&str, &str)]| {
        let variable = |name: &str| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Logins::of_environment(variable).file
    };
    let file = |path: &str| Some(PathBuf::from(path));
    assert_eq!(
        at(&[("HOME", "/home/ada")]),
        file("/home/ada/.docker/config.json")
    );
    assert_eq!(
        at(&[("HOME", "/home/ada"), ("DOCKER_CONFIG", "/d")]),
        file("/d/config.json")
    );
    assert_eq!(
        at(&[("HOME", "/home/ada"), ("DOCKER_CONFIG", "")]),
        file("/home/ada/.docker/config.json")
    );
    assert_eq!(at(&[]), None);
}

/// A helper in a folder. It is named by its path, which `ask` refuses, so the tests call the part below that.
fn helper(folder: &Folder, script: &str) -> String {
    let path = folder.write(
        "docker-credential-test",
        format!("#!/bin/sh\n{script}\n").as_bytes(),
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

async fn answer(script: &str, patience: Duration) -> Result<Option<Login>, String> {
    let folder = Folder::new();
    let program = helper(&folder, script);
    // A child that another test forks meanwhile may hold the script open for writing, until it starts its own program.
    loop {
        match helper::answer(&program, "x.example", patience).await {
            Err(error) if error.contains("Text file busy") => {}
            answered => return answered,
        }
    }
}

#[tokio::test]
async fn a_helper_is_asked_for_the_registry() {
    let echo = r#"read registry; echo "{\"ServerURL\":\"$registry\",\"Username\":\"$1-$registry\",\"Secret\":\"s\"}""#;
    let login = answer(echo, Duration::from_secs(10)).await.unwrap();
    assert!(login == basic("get-x.example", "s"));
    let token = r#"echo '{"Username":"<token>","Secret":"refresh"}'"#;
    let login = answer(token, Duration::from_secs(10)).await.unwrap();
    assert!(login == Some(Login::Identity("refresh".to_owned())));
}

#[tokio::test]
async fn a_helper_without_a_login_is_no_error() {
    let unknown = "echo 'credentials not found in native keychain'; exit 1";
    assert!(
        answer(unknown, Duration::from_secs(10))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_helper_that_fails_or_hangs_is_named() {
    let failed = answer("echo 'no daemon' >&2; exit 3", Duration::from_secs(10))
        .await
        .err()
        .unwrap();
    assert!(
        failed.contains("docker-credential-test") && failed.contains("no daemon"),
        "{failed}"
    );
    let garbled = answer("echo s3cret", Duration::from_secs(10))
        .await
        .err()
        .unwrap();
    assert!(
        garbled.contains("docker-credential-test") && !garbled.contains("s3cret"),
        "{garbled}"
    );
    let hung = answer("exec sleep 60", Duration::from_millis(200))
        .await
        .err()
        .unwrap();
    assert!(
        hung.contains("did not end within") && hung.contains("x.example"),
        "{hung}"
    );
}

#[tokio::test]
async fn a_helper_that_is_not_there_is_named_with_what_to_do() {
    for key in ["credsStore", "credHelpers"] {
        let config = match key {
            "credsStore" => json!({"credsStore": "no-such-store"}),
            _ => json!({"credsStore": "other", "credHelpers": {"x.example": "no-such-store"}}),
        };
        let error = found(&config, "x.example/y").await.err().unwrap();
        for word in [
            "docker-credential-no-such-store",
            "PATH",
            "config.json",
            "x.example",
        ] {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
    }
    let config = json!({"credsStore": "../bin/sh"});
    let error = found(&config, "x.example/y").await.err().unwrap();
    assert!(error.contains("no name of a credential helper"), "{error}");
}

#[test]
fn helpers_of_clouds_are_known() {
    let place = Place::registry("x.example/y").unwrap();
    let config: Config =
        serde_json::from_value(json!({"credHelpers": {"https://x.example": "gcloud"}})).unwrap();
    assert_eq!(config.helper(&place), Some("gcloud"));
    assert!(SHORT_LIVED.contains(&"gcloud"));
    let none: Config = serde_json::from_value(json!({"credsStore": ""})).unwrap();
    assert_eq!(none.helper(&place), None);
}
