//! A registry in the test's own process: what it holds, what it was asked, and faults.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::credentials::{Found, Login};
use super::super::digest::Digest;
use super::super::reference::Place;
use super::{Access, Registry, Times, http};

/// The user and the password of the registries that want one.
pub(in super::super) const USER: (&str, &str) = ("ada", "se:cret");
/// The identity token that stands for them.
pub(in super::super) const REFRESH: &str = "refresh&me";

/// How the registry wants a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Gate {
    #[default]
    Open,
    Basic,
    Bearer,
    /// Tokens without a login.
    Anonymous,
}

/// What a registry does beside what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Fault {
    /// The beginning of the requests that it meets, such as `PUT /upload`.
    pub(in super::super) request: String,
    pub(in super::super) does: Does,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Does {
    /// Answers with this status, and asks for this pause in seconds.
    Status(u16, Option<u64>),
    /// Closes the connection.
    Close,
    /// Reads nothing and answers nothing.
    Hang,
    /// Answers with these bytes.
    Send(Vec<u8>),
    /// Forgets all tokens, and answers as it should.
    Forget,
}

#[derive(Default)]
pub(in super::super) struct Held {
    pub(in super::super) gate: Gate,
    /// By repository and digest.
    pub(in super::super) blobs: BTreeMap<(String, String), Vec<u8>>,
    /// By repository and tag or digest.
    pub(in super::super) manifests: BTreeMap<(String, String), Vec<u8>>,
    /// Each request: its method and its path with the query.
    pub(in super::super) log: Vec<String>,
    /// The next faults, each for one request.
    pub(in super::super) faults: VecDeque<Fault>,
    /// Whether digests of manifests are left out of answers.
    pub(in super::super) silent: bool,
    /// Tokens that are accepted, and the scopes that were asked for.
    tokens: Vec<String>,
    pub(in super::super) scopes: Vec<String>,
}

pub(in super::super) struct FakeRegistry {
    pub(in super::super) host: String,
    held: Arc<Mutex<Held>>,
    serving: JoinHandle<()>,
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Short times, for faults that last.
pub(in super::super) fn times() -> Times {
    Times {
        answer: Duration::from_secs(5),
        stall: Duration::from_secs(5),
        pauses: [1, 2, 3].map(Duration::from_millis).to_vec(),
    }
}

/// The right login.
pub(in super::super) fn login() -> Found {
    Found {
        login: Some(Login::Basic {
            user: USER.0.to_owned(),
            password: USER.1.to_owned(),
        }),
        ..Found::nothing("config.json".to_owned())
    }
}

impl FakeRegistry {
    pub(in super::super) async fn start(gate: Gate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let held = Held {
            gate,
            ..Held::default()
        };
        let held = Arc::new(Mutex::new(held));
        let (state, name) = (held.clone(), host.clone());
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, state.clone(), name.clone()));
            }
        });
        Self {
            host,
            held,
            serving,
        }
    }

    pub(in super::super) fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    pub(in super::super) fn fault(&self, request: &str, does: Does) {
        let request = request.to_owned();
        self.held().faults.push_back(Fault { request, does });
    }

    /// The requests since the last call.
    pub(in super::super) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.held().log)
    }

    /// How many blobs were uploaded since the last call.
    pub(in super::super) fn uploads(&self) -> usize {
        let log = self.log();
        log.iter()
            .filter(|line| line.starts_with("PUT /upload"))
            .count()
    }

    pub(in super::super) fn place(&self, repository: &str) -> Place {
        Place::registry(&format!("{}/{repository}", self.host)).unwrap()
    }

    /// A client of a repository, with this login.
    pub(in super::super) fn client(&self, repository: &str, login: Found) -> Registry {
        self.client_with(repository, login, &times())
    }

    pub(in super::super) fn client_with(
        &self,
        repository: &str,
        login: Found,
        times: &Times,
    ) -> Registry {
        let http = http().unwrap();
        let access = (Access::Push, true);
        Registry::open(&http, self.place(repository), access, login, times).unwrap()
    }

    pub(in super::super) fn put_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let key = (repository.to_owned(), digest.to_string());
        self.held().blobs.insert(key, bytes.to_vec());
        digest
    }

    pub(in super::super) fn put_manifest(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let key = (repository.to_owned(), digest.to_string());
        self.held().manifests.insert(key, bytes.to_vec());
        digest
    }
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    fn error(status: u16, code: &str) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"it is {status}"}}]}}"#);
        Self {
            body: body.into_bytes(),
            ..Self::new(status)
        }
    }

    fn bytes(self, head_only: bool) -> Vec<u8> {
        let (status, length) = (self.status, self.body.len());
        let mut text = format!(
            "HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {length}\r\n"
        );
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if !head_only {
            bytes.extend(self.body);
        }
        bytes
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// One request, then the connection is closed.
async fn serve(mut socket: TcpStream, held: Arc<Mutex<Held>>, host: String) {
    let Some((head, rest)) = read_head(&mut socket).await else {
        return;
    };
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let fault = next_fault(&mut held.lock().unwrap(), &format!("{method} {target}"));
    if fault == Some(Does::Hang) {
        std::future::pending::<()>().await;
    }
    let mut request = parse(method, target, lines);
    request.body = rest;
    if read_body(&mut socket, &mut request).await.is_none() {
        return;
    }
    let answer = match fault {
        Some(Does::Close) => return,
        Some(Does::Send(body)) => Answer {
            body,
            ..Answer::new(200)
        },
        Some(Does::Status(status, pause)) => {
            let answer = Answer::error(status, "FAULT");
            match pause {
                Some(pause) => answer.with("Retry-After", pause.to_string()),
                None => answer,
            }
        }
        Some(Does::Forget) => {
            let mut held = held.lock().unwrap();
            held.tokens.clear();
            answer(&request, &mut held, &host)
        }
        None | Some(Does::Hang) => answer(&request, &mut held.lock().unwrap(), &host),
    };
    let bytes = answer.bytes(request.method == "HEAD");
    socket.write_all(&bytes).await.ok();
    socket.shutdown().await.ok();
}

/// Notes the request, and takes the fault that it meets.
fn next_fault(held: &mut Held, asked: &str) -> Option<Does> {
    held.log.push(asked.to_owned());
    let meets = held
        .faults
        .front()
        .is_some_and(|fault| asked.starts_with(&fault.request));
    let fault = meets.then(|| held.faults.pop_front()).flatten();
    fault.map(|fault| fault.does)
}

/// The rest of the body; none where the client breaks off.
async fn read_body(socket: &mut TcpStream, request: &mut Request) -> Option<()> {
    let length = request.headers.get("content-length");
    let length = length.and_then(|text| text.parse().ok()).unwrap_or(0_usize);
    let mut piece = vec![0; 64 << 10];
    while request.body.len() < length {
        match socket.read(&mut piece).await {
            Ok(read) if read > 0 => request.body.extend(&piece[..read]),
            _ => return None,
        }
    }
    Some(())
}

async fn read_head(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8(bytes).ok()?, rest));
        }
        match socket.read(&mut piece).await {
            Ok(read) if read > 0 => bytes.extend(&piece[..read]),
            _ => return None,
        }
    }
}

fn parse<'a>(method: &str, target: &str, lines: impl Iterator<Item = &'a str>) -> Request {
    let url = reqwest::Url::parse(&format!("http://fake{target}")).unwrap();
    let headers = lines.filter_map(|line| line.split_once(':'));
    Request {
        method: method.to_owned(),
        path: url.path().to_owned(),
        query: url
            .query_pairs()
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect(),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: Vec::new(),
    }
}

fn answer(request: &Request, held: &mut Held, host: &str) -> Answer {
    if request.path == "/token" {
        return token(request, held);
    }
    if !is_authorized(request, held) {
        let challenge = match held.gate {
            Gate::Basic => r#"Basic realm="test""#.to_owned(),
            _ => format!(r#"Bearer realm="http://{host}/token",service="fake",scope="x""#),
        };
        return Answer::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge);
    }
    let path = request.path.clone();
    if let Some(rest) = path.strip_prefix("/upload/") {
        let repository = rest.rsplit_once('/').unwrap().0;
        return finish_upload(request, held, repository);
    }
    let path = path.strip_prefix("/v2/").unwrap_or_default();
    if let Some((repository, _)) = path.split_once("/blobs/uploads/") {
        return begin_upload(request, held, repository);
    }
    if let Some((repository, digest)) = path.split_once("/blobs/") {
        return match held.blobs.get(&(repository.to_owned(), digest.to_owned())) {
            Some(bytes) => Answer {
                body: bytes.clone(),
                ..Answer::new(200)
            },
            None => Answer::error(404, "BLOB_UNKNOWN"),
        };
    }
    match path.split_once("/manifests/") {
        Some((repository, reference)) => manifest(request, held, repository, reference),
        None => Answer::error(404, "UNSUPPORTED"),
    }
}

fn basic() -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{}:{}", USER.0, USER.1))
    )
}

fn is_authorized(request: &Request, held: &Held) -> bool {
    let sent = request
        .headers
        .get("authorization")
        .map(String::as_str)
        .unwrap_or_default();
    match held.gate {
        Gate::Open => true,
        Gate::Basic => sent == basic(),
        Gate::Bearer | Gate::Anonymous => {
            let token = sent.strip_prefix("Bearer ").unwrap_or_default();
            held.tokens.iter().any(|known| known == token)
        }
    }
}

fn token(request: &Request, held: &mut Held) -> Answer {
    let form = reqwest::Url::parse(&format!(
        "http://fake/?{}",
        String::from_utf8_lossy(&request.body)
    ))
    .unwrap();
    let form: BTreeMap<_, _> = form
        .query_pairs()
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    let right = match &*request.method {
        "POST" => {
            form.get("grant_type")
                .is_some_and(|it| it == "refresh_token")
                && form.get("refresh_token").is_some_and(|it| it == REFRESH)
        }
        _ => held.gate == Gate::Anonymous || request.headers.get("authorization") == Some(&basic()),
    };
    let service = request.query.get("service").or_else(|| form.get("service"));
    if !right || service.is_none_or(|service| service != "fake") {
        return Answer::error(401, "UNAUTHORIZED");
    }
    let scope = request.query.get("scope").or_else(|| form.get("scope"));
    held.scopes.push(scope.cloned().unwrap_or_default());
    let token = format!("token-{}", held.tokens.len());
    held.tokens.push(token.clone());
    let key = if request.method == "POST" {
        "access_token"
    } else {
        "token"
    };
    Answer {
        body: format!(r#"{{"{key}":"{token}","expires_in":300}}"#).into_bytes(),
        ..Answer::new(200)
    }
}

fn begin_upload(request: &Request, held: &mut Held, repository: &str) -> Answer {
    if let (Some(digest), Some(from)) = (request.query.get("mount"), request.query.get("from"))
        && let Some(bytes) = held.blobs.get(&(from.clone(), digest.clone())).cloned()
    {
        held.blobs
            .insert((repository.to_owned(), digest.clone()), bytes);
        return Answer::new(201);
    }
    // Relative, with a query of the registry's own.
    Answer::new(202).with("Location", format!("/upload/{repository}/1?state=a%2Fb"))
}

fn finish_upload(request: &Request, held: &mut Held, repository: &str) -> Answer {
    let digest = request.query.get("digest").cloned().unwrap_or_default();
    if request
        .query
        .get("state")
        .is_none_or(|state| state != "a/b")
    {
        return Answer::error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    if Digest::of(&request.body).as_str() != digest {
        return Answer::error(400, "DIGEST_INVALID");
    }
    held.blobs
        .insert((repository.to_owned(), digest), request.body.clone());
    Answer::new(201)
}

fn manifest(request: &Request, held: &mut Held, repository: &str, reference: &str) -> Answer {
    let key = |reference: &str| (repository.to_owned(), reference.to_owned());
    if request.method == "PUT" {
        let digest = Digest::of(&request.body).to_string();
        let document: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let layers = document["layers"].as_array().unwrap().iter();
        for blob in layers.chain([&document["config"]]) {
            // As registries do: a manifest whose blobs are not there is refused.
            if !held
                .blobs
                .contains_key(&key(blob["digest"].as_str().unwrap()))
            {
                return Answer::error(400, "MANIFEST_BLOB_UNKNOWN");
            }
        }
        held.manifests.insert(key(reference), request.body.clone());
        held.manifests.insert(key(&digest), request.body.clone());
        return Answer::new(201);
    }
    let Some(bytes) = held.manifests.get(&key(reference)) else {
        return Answer::error(404, "MANIFEST_UNKNOWN");
    };
    let answer = Answer {
        body: bytes.clone(),
        ..Answer::new(200)
    };
    match held.silent {
        true => answer,
        false => answer.with("Docker-Content-Digest", Digest::of(bytes).to_string()),
    }
}
