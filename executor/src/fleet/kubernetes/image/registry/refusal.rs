//! What a registry's refusal means, and what to do about it.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::super::error::ImageError;
use super::{Registry, body};

/// How much of an answer is read for its message.
const READ: usize = 64 << 10;
/// How much of a message that is no JSON is shown.
const SHOWN: usize = 200;

/// The errors of an answer:
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes>.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The status of an answer and its message.
pub(super) async fn text(response: Response, time: Duration) -> String {
    let status = response.status();
    let bytes = body(response, READ, time).await.unwrap_or_default();
    match message(&bytes) {
        message if message.is_empty() => status.to_string(),
        message => format!("{status}: {message}"),
    }
}

fn message(bytes: &[u8]) -> String {
    if let Ok(Errors { errors }) = serde_json::from_slice(bytes) {
        let texts: Vec<_> = errors
            .iter()
            .map(|entry| match &*entry.message {
                "" => entry.code.clone(),
                message => format!("{message} ({})", entry.code),
            })
            .collect();
        return texts.join(", ");
    }
    let text = String::from_utf8_lossy(bytes);
    // A page for browsers says nothing that the status does not.
    match text.trim_start().starts_with('<') {
        true => String::new(),
        false => text.trim().chars().take(SHOWN).collect(),
    }
}

impl Registry {
    /// The error of an answer that is a refusal.
    pub(super) async fn refused(&self, what: &str, response: Response) -> ImageError {
        let status = response.status();
        let text = text(response, self.times.answer).await;
        ImageError::new(format_args!(
            "cannot {what} in {}: {text}; {}",
            self.place,
            self.advice(status)
        ))
    }

    fn advice(&self, status: StatusCode) -> String {
        let host = &self.place.registry;
        let source = &self.login.source;
        match (status, self.login.login.is_some()) {
            (StatusCode::UNAUTHORIZED, true) => format!(
                "the login of {source} is not accepted: log in again (docker login {host})"
            ),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, false) => format!(
                "no login was found for {host} in {source}: log in (docker login {host}), or name another registry (KubernetesOptions::registry, PODPOOL_REGISTRY)"
            ),
            (StatusCode::FORBIDDEN, true) => format!(
                "the login of {source} has no right to write there: ask the registry's administrator for it, or name another place (KubernetesOptions::registry, PODPOOL_REGISTRY)"
            ),
            (StatusCode::NOT_FOUND, _) => format!(
                "check the registry's name (KubernetesOptions::registry, PODPOOL_REGISTRY); some registries, such as ECR, want the repository {} to be made first",
                self.place.repository
            ),
            (StatusCode::PAYLOAD_TOO_LARGE, _) => {
                "the registry, or a proxy in front of it, takes no layer as large as this program: strip its debug information (strip = true in its profile), or raise the limit".to_owned()
            }
            _ => format!(
                "check that {host} is a registry (KubernetesOptions::registry, PODPOOL_REGISTRY), or name an image that exists (PODPOOL_IMAGE)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_refusal_is_shown_and_a_page_is_not() {
        let json = br#"{"errors":[{"code":"DENIED","message":"no right"},{"code":"UNSUPPORTED"}]}"#;
        assert_eq!(message(json), "no right (DENIED), UNSUPPORTED");
        assert_eq!(message(b"  busy\n"), "busy");
        assert_eq!(message(b"<html>nginx</html>"), "");
        assert_eq!(message(&[b'x'; 1_000]).len(), SHOWN);
    }
}
