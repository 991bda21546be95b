//! An API server for tests: answers that a test gives by method and path, over HTTP, and a record of what was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use kube::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::client::Cluster;

/// What is answered to one request: code, further headers, body.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) code: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Value,
}

impl Given {
    pub(super) fn ok(body: Value) -> Self {
        Self {
            code: 200,
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn refused(code: u16, reason: &str, message: &str) -> Self {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code, "reason": reason, "message": message});
        Self {
            code,
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A request as it came: method, path with query, body.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Value,
}

type Answers = Arc<Mutex<BTreeMap<String, Given>>>;

/// The server, which ends with this value.
pub(super) struct Fake {
    address: String,
    answers: Answers,
    asked: Arc<Mutex<Vec<Asked>>>,
    denied: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// A cluster of version 1.34 that grants every right, takes every object, and has a namespace `etl` without quotas.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (answers, asked, denied) = (Answers::default(), Arc::default(), Arc::default());
        let parts = (
            Arc::clone(&answers),
            Arc::clone(&asked),
            Arc::clone(&denied),
        );
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let parts = parts.clone();
                tokio::spawn(async move { serve(socket, &parts.0, &parts.1, &parts.2).await });
            }
        });
        let fake = Self {
            address,
            answers,
            asked,
            denied,
            task,
        };
        fake.fill();
        fake
    }

    fn fill(&self) {
        let version = json!({"major": "1", "minor": "34", "gitVersion": "v1.34.4", "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
        self.answer("GET /version", Given::ok(version));
        let user = json!({"status": {"userInfo": {"username": "system:serviceaccount:etl:podpool-master"}}});
        let path = "POST /apis/authentication.k8s.io/v1/selfsubjectreviews";
        self.answer(path, Given::ok(user));
        let namespace = json!({"metadata": {"name": "etl", "labels": {
            "pod-security.kubernetes.io/enforce": "restricted"}}, "status": {"phase": "Active"}});
        self.answer("GET /api/v1/namespaces/etl", Given::ok(namespace));
        let none = json!({"metadata": {}, "items": []});
        let quotas = "GET /api/v1/namespaces/etl/resourcequotas";
        self.answer(quotas, Given::ok(none));
        let node = json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "8", "memory": "16Gi"}}});
        let nodes = json!({"metadata": {}, "items": [node]});
        self.answer("GET /api/v1/nodes", Given::ok(nodes));
        for made in [
            "POST /apis/batch/v1/namespaces/etl/jobs",
            "POST /api/v1/namespaces/etl/secrets",
        ] {
            self.answer(made, Given::ok(json!({"metadata": {"name": "made"}})));
        }
    }

    /// Answers requests of this method and path, without its query, in this way from now on.
    pub(super) fn answer(&self, request: &str, given: Given) {
        self.answers
            .lock()
            .unwrap()
            .insert(request.to_owned(), given);
    }

    /// Denies a right, such as `create jobs`.
    pub(super) fn deny(&self, right: &str) {
        self.denied.lock().unwrap().push(right.to_owned());
    }

    pub(super) async fn cluster(&self) -> Cluster {
        let config = Config::new(self.address.parse().unwrap());
        Cluster::with_config(config, Some("etl")).await.unwrap()
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut socket: TcpStream,
    answers: &Mutex<BTreeMap<String, Given>>,
    asked: &Mutex<Vec<Asked>>,
    denied: &Mutex<Vec<String>>,
) {
    let Some(request) = read(&mut socket).await else {
        return;
    };
    let path = request.path.split('?').next().unwrap_or_default();
    let key = format!("{} {path}", request.method);
    let given = if path.ends_with("/selfsubjectaccessreviews") {
        review(&request.body, &denied.lock().unwrap())
    } else {
        let known = answers.lock().unwrap().get(&key).cloned();
        known.unwrap_or_else(|| Given::refused(404, "NotFound", &format!("no answer to {key}")))
    };
    asked.lock().unwrap().push(request);
    let body = given.body.to_string();
    let mut head = format!(
        "HTTP/1.1 {} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n",
        given.code,
        body.len()
    );
    for (name, value) in &given.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // The client may have left.
    socket
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .await
        .ok();
}

fn review(question: &Value, denied: &[String]) -> Given {
    let asked = &question["spec"]["resourceAttributes"];
    let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
    let mut right = format!("{} {}", text("verb"), text("resource"));
    if !text("subresource").is_empty() {
        right = format!("{right}/{}", text("subresource"));
    }
    let allowed = text("namespace") == "etl" && !denied.contains(&right);
    let mut answer = question.clone();
    answer["status"] = json!({"allowed": allowed});
    Given::ok(answer)
}

async fn read(socket: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break at;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut words = text.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    while bytes.len() < head + 4 + length.unwrap_or_default() {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = serde_json::from_slice(&bytes[head + 4..]).unwrap_or(Value::Null);
    Some(Asked { method, path, body })
}
