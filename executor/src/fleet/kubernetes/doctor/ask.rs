//! Requests whose answer matters as a whole: its date, its warnings, and the status of a refusal.

use bytes::Bytes;
use http::{HeaderMap, Request};
use kube::client::Body;
use kube::core::Status;
use serde::de::DeserializeOwned;

use super::super::client::Cluster;
use crate::error::start::chain;

/// An answer of the API server that is no refusal.
pub(super) struct Answer {
    /// The server's time, as its header has it.
    pub(super) date: Option<String>,
    /// What the server warns of, such as a Pod Security Standard that pods of a Job would not meet.
    pub(super) warnings: Vec<String>,
    body: Bytes,
}

/// Why there is no such answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The API server refuses.
    Refused(Box<Status>),
    /// It was not reached, or what came is no answer of an API server.
    Lost(String),
}

impl Answer {
    /// Its body.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        let read = serde_json::from_slice(&self.body);
        read.map_err(|error| format!("the answer cannot be read: {error}"))
    }
}

/// Sends one request, once.
pub(super) async fn send(
    cluster: &Cluster,
    request: http::Result<Request<Vec<u8>>>,
) -> Result<Answer, NoAnswer> {
    let request = request.map_err(|error| NoAnswer::Lost(error.to_string()))?;
    let sent = cluster.client().send(request.map(Body::from)).await;
    let answer = sent.map_err(|error| NoAnswer::Lost(chain(error)))?;
    let (parts, body) = answer.into_parts();
    let body = body.collect_bytes().await;
    let body = body.map_err(|error| NoAnswer::Lost(chain(error)))?;
    if !parts.status.is_success() {
        return Err(NoAnswer::Refused(Box::new(refusal(
            parts.status.as_u16(),
            &body,
        ))));
    }
    Ok(Answer {
        date: text(&parts.headers, "date").next(),
        warnings: text(&parts.headers, "warning").map(warning).collect(),
        body,
    })
}

/// The status in a refusal's body; a proxy may have sent something else.
fn refusal(code: u16, body: &[u8]) -> Status {
    let read = serde_json::from_slice::<Status>(body).ok();
    read.filter(|status| !status.message.is_empty())
        .unwrap_or_else(|| {
            let text = String::from_utf8_lossy(body);
            let first: String = text.trim().chars().take(200).collect();
            Status::failure(&format!("HTTP {code} {first}"), "").with_code(code)
        })
}

fn text(headers: &HeaderMap, name: &'static str) -> impl Iterator<Item = String> {
    let all = headers.get_all(name).into_iter();
    all.filter_map(|value| Some(value.to_str().ok()?.to_owned()))
}

/// The text of a warning: `299 - "would violate …"`.
/// <https://kubernetes.io/blog/2020/09/03/warnings/>
fn warning(header: String) -> String {
    let quoted = header.split_once('"').and_then(|(_, rest)| {
        let (text, _) = rest.rsplit_once('"')?;
        Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
    });
    quoted.unwrap_or(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_its_quoted_text() {
        let header = "299 - \"would violate PodSecurity \\\"restricted:latest\\\": x\"".to_owned();
        let expected = "would violate PodSecurity \"restricted:latest\": x";
        assert_eq!(warning(header), expected);
        assert_eq!(warning("odd".to_owned()), "odd");
    }

    #[test]
    fn a_refusal_that_is_no_status_is_told_with_its_code() {
        let status = refusal(502, b"<html>Bad Gateway</html>");
        assert_eq!(status.code, 502);
        assert!(status.message.contains("Bad Gateway"), "{status:?}");
        let body = br#"{"kind":"Status","code":403,"reason":"Forbidden","message":"no"}"#;
        assert_eq!(refusal(403, body).message, "no");
    }
}
