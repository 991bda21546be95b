//! The login at a registry: by a password with each request, or by a token for it.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/>, and for identity tokens
//! <https://distribution.github.io/distribution/spec/auth/oauth/>.

use crate::lock::lock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::super::credentials::Login;
use super::super::error::ImageError;
use super::{Registry, body};

/// The name of this client, for token servers.
const CLIENT: &str = "podpool";
/// The most bytes of an answer with a token.
const LARGEST: usize = 1 << 20;

/// How a registry wants a login.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Registry {
    /// Logs in as the registry asks in its answer.
    ///
    /// # Errors
    /// Where there is no login, or it is not accepted.
    pub(super) async fn authorize(&self, what: &str, refused: &Response) -> Result<(), ImageError> {
        let challenges = challenges(refused.headers());
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service } => Some((realm, service.as_deref())),
            Challenge::Basic => None,
        });
        let value = if let Some((realm, service)) = bearer {
            let token = self.token(what, realm, service).await?;
            format!("Bearer {token}")
        } else if challenges.is_empty() {
            let reason = "the registry wants a login, but does not say how";
            return Err(self.failed(what, reason));
        } else {
            match &self.login.login {
                Some(Login::Basic { user, password }) => {
                    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
                }
                Some(Login::Identity(_)) => {
                    let reason = format!(
                        "it wants a password, and {} has an identity token for it; log in again (docker login {})",
                        self.login.source, self.place.registry
                    );
                    return Err(self.failed(what, reason));
                }
                // The same request again gets the refusal with its advice.
                None => return Ok(()),
            }
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| self.failed(what, "the login has characters that no header may have"))?;
        value.set_sensitive(true);
        *lock(&self.authorization) = Some(value);
        Ok(())
    }

    async fn token(
        &self,
        what: &str,
        realm: &str,
        service: Option<&str>,
    ) -> Result<String, ImageError> {
        let Ok(url) = Url::parse(realm) else {
            let reason = format!("it wants a login at {realm:?}, which is no address");
            return Err(self.failed(what, reason));
        };
        if url.scheme() != "https" && !self.is_plain() {
            let reason = format!("it wants a password to be sent to {url} without encryption");
            return Err(self.failed(what, reason));
        }
        let make = || self.token_request(&url, service).build();
        let answer = self.persist(what, make).await?;
        if answer.status() != StatusCode::OK {
            // A token server says 401, 403 or 400 of a wrong password.
            let status = answer.status();
            let text = super::refusal::text(answer, self.times.answer).await;
            let server = url.host_str().unwrap_or_default();
            return Err(match &self.login.login {
                Some(_) => ImageError::new(format_args!(
                    "cannot {what} in {}: {server} does not accept the login of {} ({text}); log in again (docker login {})",
                    self.place, self.login.source, self.place.registry
                )),
                None => ImageError::new(format_args!(
                    "cannot {what} in {}: {server} gives no right to it without a login ({status}), and none was found for {} in {}; log in (docker login {1})",
                    self.place, self.place.registry, self.login.source
                )),
            });
        }
        let bytes = body(answer, LARGEST, self.times.answer).await;
        let bytes = bytes.map_err(|error| self.failed(what, error))?;
        // An error of the reader could show a part of the token.
        let read = serde_json::from_slice::<Answer>(&bytes).ok();
        let token = read.and_then(|answer| answer.token.or(answer.access_token));
        token
            .filter(|token| !token.is_empty())
            .ok_or_else(|| self.failed(what, format_args!("{url} sent no token that can be read")))
    }

    fn token_request(&self, url: &Url, service: Option<&str>) -> RequestBuilder {
        let service = service.map(|service| ("service", service));
        if let Some(Login::Identity(refresh)) = &self.login.login {
            let scope = self.scopes.join(" ");
            let mut form = Url::clone(url);
            form.query_pairs_mut()
                .clear()
                .extend_pairs([("grant_type", "refresh_token"), ("refresh_token", refresh)])
                .extend_pairs([("client_id", CLIENT), ("scope", &scope)])
                .extend_pairs(service);
            let form = form.query().unwrap_or_default().to_owned();
            let request = self.http.post(url.clone());
            return request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form);
        }
        let mut url = url.clone();
        let scopes = self.scopes.iter().map(|scope| ("scope", scope));
        url.query_pairs_mut()
            .extend_pairs(service)
            .extend_pairs(scopes);
        let request = self.http.get(url);
        match &self.login.login {
            Some(Login::Basic { user, password }) => request.basic_auth(user, Some(password)),
            _ => request,
        }
    }
}

/// The ways to log in that an answer offers.
fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(parse).collect()
}

/// Reads `Bearer realm="…",service="…", Basic realm="…"`.
/// <https://www.rfc-editor.org/rfc/rfc9110#name-www-authenticate>
fn parse(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for part in parts(text) {
        let (scheme, parameter) = match part.split_once(char::is_whitespace) {
            // A space before the first `=` ends the name of a scheme.
            Some((scheme, rest)) if !scheme.contains('=') => (Some(scheme), rest.trim_start()),
            _ if !part.contains('=') => (Some(part), ""),
            _ => (None, part),
        };
        if let Some(scheme) = scheme {
            found.push((scheme.to_ascii_lowercase(), Vec::new()));
        }
        if let (Some((_, parameters)), Some((name, value))) =
            (found.last_mut(), parameter.split_once('='))
        {
            parameters.push((name.trim().to_ascii_lowercase(), unquoted(value.trim())));
        }
    }
    found
        .into_iter()
        .filter_map(|(scheme, parameters)| of_scheme(&scheme, &parameters))
        .collect()
}

fn of_scheme(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |wanted: &str| {
        let mut all = parameters.iter();
        all.find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
    };
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: get("realm")?,
            service: get("service"),
        }),
        _ => None,
    }
}

/// The parts between commas that no quotes surround.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    inner.map_or_else(
        || value.to_owned(),
        |inner| inner.replace("\\\"", "\"").replace("\\\\", "\\"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        }
    }

    #[test]
    fn each_form_of_a_challenge_is_read() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let expected = bearer("https://auth.docker.io/token", Some("registry.docker.io"));
        assert_eq!(parse(hub), [expected]);
        assert_eq!(parse(r#"Basic realm="test""#), [Challenge::Basic]);
        assert_eq!(parse("basic"), [Challenge::Basic]);
        let both = r#"Basic realm="a, b", bearer service=x , realm="https://t\"x/""#;
        assert_eq!(
            parse(both),
            [Challenge::Basic, bearer("https://t\"x/", Some("x"))]
        );
        assert_eq!(parse("Negotiate abc==, Bearer service=x"), []);
        assert_eq!(parse(""), []);
    }

    proptest! {
        #[test]
        fn no_header_is_a_panic(text in ".*") {
            drop(parse(&text));
        }
    }
}
