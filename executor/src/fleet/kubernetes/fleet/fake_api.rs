//! An API server of the tests: it answers each path as a test says. One request a connection.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::client::Cluster;

/// What a path is answered with.
pub(super) enum Answer {
    /// This status code and body.
    Now(u16, Value),
    /// A watch without news: it stays open until its client leaves.
    Open,
}

impl Answer {
    /// A list of these objects.
    pub(super) fn list(version: &str, kind: &str, items: &[Value]) -> Self {
        let list = json!({
            "apiVersion": version, "kind": kind, "metadata": {"resourceVersion": "48300"}, "items": items,
        });
        Self::Now(200, list)
    }

    /// A refusal for lack of rights.
    pub(super) fn forbidden() -> Self {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 403,
            "reason": "Forbidden", "message": "User \"podpool-master\" cannot list resource",
        });
        Self::Now(403, status)
    }
}

/// A server that runs until it is dropped.
pub(super) struct FakeApi {
    url: String,
    task: JoinHandle<()>,
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeApi {
    /// A server that answers each path, with its query, by this function.
    pub(super) async fn start(answers: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = Arc::new(answers);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answers = answers.clone();
                tokio::spawn(async move { serve(stream, &*answers).await });
            }
        });
        Self { url, task }
    }

    /// The cluster whose API this is, with the namespace `etl`.
    pub(super) async fn cluster(&self) -> Cluster {
        let config = kube::Config::new(self.url.parse().unwrap());
        Cluster::with_config(config, Some("etl")).await.unwrap()
    }
}

async fn serve(stream: TcpStream, answers: &(impl Fn(&str) -> Answer + Sync)) {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await.unwrap();
    let mut line = String::new();
    loop {
        line.clear();
        // The client may leave at any time.
        match stream.read_line(&mut line).await {
            Ok(read) if read > 0 && !line.trim_end().is_empty() => {}
            Ok(read) if read > 0 => break,
            _ => return,
        }
    }
    let Some(path) = first.split(' ').nth(1) else {
        return;
    };
    let answer = if path.starts_with("/version") {
        Answer::Now(200, version())
    } else {
        answers(path)
    };
    let text = match &answer {
        // The length is not known: the body ends with the connection.
        Answer::Open => head(200),
        Answer::Now(code, body) => {
            let body = format!("{body}\n");
            format!(
                "{}Content-Length: {}\r\n\r\n{body}",
                head(*code),
                body.len()
            )
        }
    };
    stream.write_all(text.as_bytes()).await.ok();
    if matches!(answer, Answer::Open) {
        stream.write_all(b"\r\n").await.ok();
        stream.flush().await.ok();
        stream.read_line(&mut line).await.ok();
    }
    stream.flush().await.ok();
}

fn head(code: u16) -> String {
    format!("HTTP/1.1 {code} -\r\nContent-Type: application/json\r\nConnection: close\r\n")
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "34", "gitVersion": "v1.34.4", "gitCommit": "0", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.24", "compiler": "gc", "platform": "linux/amd64",
    })
}
