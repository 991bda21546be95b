//! An API server of a cluster that answers with its version, and nothing else: what a master needs until it makes
//! something.

use std::path::Path;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Starts one; its address, and the task that serves it.
///
/// # Panics
/// If there is no port for it.
pub async fn api() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let version = json!({
        "major": "1", "minor": "34", "gitVersion": "v1.34.0", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
    })
    .to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{version}",
        version.len()
    );
    let serving = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let asked = socket.read(&mut [0; 4096]).await;
            if asked.is_ok_and(|bytes| bytes > 0) {
                socket.write_all(answer.as_bytes()).await.ok();
            }
        }
    });
    (address, serving)
}

/// Writes a kubeconfig that names this server.
///
/// # Panics
/// If the file cannot be written.
pub fn write_kubeconfig(path: &Path, server: &str) {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": format!("http://{server}")}}],
        "users": [{"name": "it", "user": {}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    std::fs::write(path, config.to_string()).unwrap();
}

/// An address without a listener.
///
/// # Panics
/// If there is no port.
pub async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}
