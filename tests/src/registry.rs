//! A real registry: the one that `PODPOOL_TEST_REGISTRY` names, open to all, and that of
//! `PODPOOL_TEST_PRIVATE_REGISTRY`, with `PODPOOL_TEST_REGISTRY_AUTH` as `user:password`. Both are `host:port`, and
//! speak plain http. Without them a test prints so and passes, except where `CI=true`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What manifests are asked for as.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry to test with.
#[derive(Clone, Debug)]
pub struct TestRegistry {
    /// `host:port`.
    pub host: String,
    /// The header with the login, where one is needed.
    authorization: Option<String>,
    /// User and password.
    login: Option<(String, String)>,
}

/// An image as a registry has it.
#[derive(Clone, Debug)]
pub struct StoredImage {
    /// The manifest.
    pub manifest: Value,
    /// The configuration.
    pub config: Value,
}

impl TestRegistry {
    /// The open registry.
    ///
    /// # Panics
    /// If it is not named where `CI=true`.
    #[must_use]
    pub fn open() -> Option<Self> {
        Some(Self {
            host: needed("PODPOOL_TEST_REGISTRY")?,
            authorization: None,
            login: None,
        })
    }

    /// The registry that wants a login.
    ///
    /// # Panics
    /// If it is not named where `CI=true`, or the login is not `user:password`.
    #[must_use]
    pub fn private() -> Option<Self> {
        let host = needed("PODPOOL_TEST_PRIVATE_REGISTRY")?;
        let login = needed("PODPOOL_TEST_REGISTRY_AUTH")?;
        let (user, password) = login.split_once(':').expect("user:password");
        Some(Self {
            host,
            authorization: Some(format!("Basic {}", base64(login.as_bytes()))),
            login: Some((user.to_owned(), password.to_owned())),
        })
    }

    /// User and password.
    ///
    /// # Panics
    /// For the open registry.
    #[must_use]
    pub fn login(&self) -> (&str, &str) {
        let (user, password) = self.login.as_ref().expect("a registry with a login");
        (user, password)
    }

    /// Docker's configuration with a login for this registry, in a directory.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_login(&self, directory: &Path, user: &str, password: &str) {
        fs::write(
            directory.join("config.json"),
            self.docker_config(user, password),
        )
        .unwrap();
    }

    /// Docker's configuration with a login for this registry.
    #[must_use]
    pub fn docker_config(&self, user: &str, password: &str) -> String {
        let auth = base64(format!("{user}:{password}").as_bytes());
        let host = self.host.clone();
        json!({"auths": {host: {"auth": auth}}}).to_string()
    }

    /// Asks for an object of the registry, such as `team/flights/tags/list`; its status and its body.
    ///
    /// # Panics
    /// If the registry does not answer as a registry does.
    pub async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let mut socket = TcpStream::connect(&self.host).await.unwrap();
        let login = self
            .authorization
            .iter()
            .map(|value| format!("Authorization: {value}\r\n"));
        let login: String = login.collect();
        // Of HTTP/1.0 the answer ends with the connection.
        let request = format!(
            "GET /v2/{path} HTTP/1.0\r\nHost: {}\r\nAccept: {MANIFEST}\r\n{login}\r\n",
            self.host
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("an answer of HTTP");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        (status.expect("a status"), answer.split_off(end + 4))
    }

    /// The tags of a repository.
    ///
    /// # Panics
    /// If the registry has no such repository.
    pub async fn tags(&self, repository: &str) -> Vec<String> {
        let list = self.json(&format!("{repository}/tags/list")).await;
        let tags = list["tags"].as_array().cloned().unwrap_or_default();
        tags.iter()
            .map(|tag| tag.as_str().unwrap().to_owned())
            .collect()
    }

    /// The image of a repository by tag or digest.
    ///
    /// # Panics
    /// If there is none.
    pub async fn image(&self, repository: &str, reference: &str) -> StoredImage {
        let manifest = self
            .json(&format!("{repository}/manifests/{reference}"))
            .await;
        let config = manifest["config"]["digest"].as_str().unwrap();
        StoredImage {
            config: self.json(&format!("{repository}/blobs/{config}")).await,
            manifest,
        }
    }

    /// Unpacks the layers of an image over each other.
    ///
    /// # Panics
    /// If a layer is absent, or `tar` does not read it.
    pub async fn unpack(&self, repository: &str, image: &StoredImage, directory: &Path) {
        for layer in image.manifest["layers"].as_array().unwrap() {
            let digest = layer["digest"].as_str().unwrap();
            let (status, blob) = self.get(&format!("{repository}/blobs/{digest}")).await;
            assert_eq!(
                (status, blob.len() as u64),
                (200, layer["size"].as_u64().unwrap())
            );
            let file = directory.join("layer.tar.gz");
            fs::write(&file, blob).unwrap();
            let unpacked = Command::new("tar")
                .args(["--extract", "--gzip", "--no-same-owner", "--directory"])
                .arg(directory)
                .arg("--file")
                .arg(&file)
                .status();
            assert!(unpacked.unwrap().success());
            fs::remove_file(file).unwrap();
        }
    }

    async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }
}

/// A program with another content, and so with an image of its own: the tail of the file is no part of what is loaded.
///
/// # Panics
/// If it cannot be written.
#[must_use]
pub fn changed(program: &str, directory: &Path, tail: &str) -> PathBuf {
    let name = Path::new(program).file_name().unwrap();
    let path = directory.join(name);
    let mut bytes = fs::read(program).unwrap();
    bytes.extend(tail.as_bytes());
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::metadata(program).unwrap().permissions()).unwrap();
    path
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = three
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for digit in 0..4 {
            match digit <= three.len() {
                true => text.push(char::from(DIGITS[(word >> (18 - 6 * digit) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}

/// A variable without which a test is left out, with a message.
///
/// # Panics
/// If it is not set where `CI=true`.
#[expect(clippy::print_stderr, reason = "what is left out must be seen")]
#[must_use]
pub fn needed(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let why = format!("{name} is not set, so there is no registry to test with");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
        eprintln!("left out: {why}");
    }
    value
}
