//! A small client of registries, for what an image needs: manifests and blobs of one repository.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>. Every request has a time limit, is tried
//! again where the registry is busy, and its errors name the repository and what to do.

mod authorize;
mod blobs;
mod manifests;
mod refusal;

use std::time::Duration;

use crate::lock::lock;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Request, RequestBuilder, Response, StatusCode, Url};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::super::client::chain;
use super::credentials::Found;
use super::error::{ImageError, because};
use super::reference::Place;

pub(super) use self::blobs::Blob;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest pause that a registry may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Redirections of one request: registries send readers of blobs to their stores.
const REDIRECTIONS: usize = 5;

/// The times of a client.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// How long an answer to a small request may take.
    pub(super) answer: Duration,
    /// How long an upload or a download may make no progress.
    pub(super) stall: Duration,
    /// The pauses before a request is tried again, one each.
    pub(super) pauses: Vec<Duration>,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(90),
            pauses: [500, 2_000, 8_000].map(Duration::from_millis).to_vec(),
        }
    }
}

/// What is asked of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Pull,
    Push,
}

/// A repository of a registry.
pub(super) struct Registry {
    http: reqwest::Client,
    place: Place,
    /// `https://registry.example/v2/team/flights/`
    root: Url,
    scopes: Vec<String>,
    login: Found,
    times: Times,
    authorization: std::sync::Mutex<Option<HeaderValue>>,
}

/// The client of all registries.
pub(super) fn http() -> Result<reqwest::Client, ImageError> {
    // Another crate may have brought a second provider; without a choice the first connection would panic.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .redirect(Policy::limited(REDIRECTIONS))
        .user_agent(concat!("podpool/", env!("CARGO_PKG_VERSION")));
    client
        .build()
        .map_err(because("the client of registries cannot be made"))
}

impl Registry {
    /// A repository, spoken to by plain http where `plain` says so.
    pub(super) fn open(
        http: &reqwest::Client,
        place: Place,
        (access, plain): (Access, bool),
        login: Found,
        times: &Times,
    ) -> Result<Self, ImageError> {
        let scheme = if plain { "http" } else { "https" };
        let root = format!("{scheme}://{}/v2/{}/", place.api(), place.repository);
        let root =
            Url::parse(&root).map_err(because(format!("{place} is no place for an image")))?;
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        Ok(Self {
            http: http.clone(),
            scopes: vec![format!("repository:{}:{actions}", place.repository)],
            place,
            root,
            login,
            times: times.clone(),
            authorization: std::sync::Mutex::default(),
        })
    }

    /// Asks for the right to read another repository of this registry too, for mounts of its blobs.
    pub(super) fn reading(mut self, other: &Place) -> Self {
        if other.registry == self.place.registry && other != &self.place {
            self.scopes
                .push(format!("repository:{}:pull", other.repository));
        }
        self
    }

    /// The repository.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Whether its password is a token that ends within hours.
    pub(super) const fn is_short_lived(&self) -> bool {
        self.login.short_lived
    }

    /// Whether it is spoken to by plain http.
    fn is_plain(&self) -> bool {
        self.root.scheme() == "http"
    }

    /// The address of an object of the repository, such as `blobs/sha256:…`.
    fn url(&self, path: &str) -> Result<Url, ImageError> {
        let joined = self.root.join(path);
        joined.map_err(because(format!("{path:?} is no object of {}", self.place)))
    }

    /// Sends a request; where the registry asks for a login, logs in and sends it again. The answer may be a refusal.
    async fn send(
        &self,
        what: &str,
        make: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, ImageError> {
        let first = self
            .persist(what, || self.authorized(make(&self.http)))
            .await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        self.authorize(what, &first).await?;
        self.persist(what, || self.authorized(make(&self.http)))
            .await
    }

    /// Sends a request until it is answered by something else than "busy", with the pauses between.
    async fn persist(
        &self,
        what: &str,
        make: impl Fn() -> Result<Request, reqwest::Error>,
    ) -> Result<Response, ImageError> {
        let mut pauses = self.times.pauses.iter();
        let mut connected = true;
        loop {
            let request = make().map_err(|error| self.failed(what, chain(&error)))?;
            let answer = timeout(self.times.answer, self.http.execute(request)).await;
            let (failure, asked) = match answer {
                Ok(Ok(response)) if !passes(response.status()) => return Ok(response),
                Ok(Ok(response)) => {
                    let asked = pause_of(&response);
                    (refusal::text(response, self.times.answer).await, asked)
                }
                Ok(Err(error)) => {
                    // A wrong address must be an error within seconds: one more try, for a registry that restarts.
                    let lost = error.is_connect() && !std::mem::replace(&mut connected, false);
                    if lost {
                        pauses = [].iter();
                    }
                    (self.unreached(error), Duration::ZERO)
                }
                Err(_) => (
                    format!("no answer within {:?}", self.times.answer),
                    Duration::ZERO,
                ),
            };
            let Some(pause) = pauses.next() else {
                return Err(self.failed(what, failure));
            };
            debug!(what, failure, place = %self.place, "asking the registry again");
            sleep(asked.max(*pause)).await;
        }
    }

    /// The request with the login, if it is for the registry itself: an address that the registry names, such as that
    /// of a store, must not get it.
    fn authorized(&self, request: RequestBuilder) -> Result<Request, reqwest::Error> {
        let mut request = request.build()?;
        let url = request.url();
        let own = url.host_str() == self.root.host_str()
            && url.port_or_known_default() == self.root.port_or_known_default()
            && url.scheme() == self.root.scheme();
        let value = lock(&self.authorization).clone();
        if let Some(value) = value.filter(|_| own) {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Why a request did not get through, and what to do about it.
    fn unreached(&self, error: reqwest::Error) -> String {
        // The address may hold a token of the registry's, and the message names the repository.
        let connect = error.is_connect();
        let text = chain(&error.without_url());
        match connect && !self.is_plain() {
            false => text,
            true => format!(
                "{text} (a registry that speaks plain http is named in KubernetesOptions::registry_insecure, PODPOOL_REGISTRY_INSECURE={})",
                self.place.registry
            ),
        }
    }

    fn failed(&self, what: &str, reason: impl std::fmt::Display) -> ImageError {
        ImageError::new(format_args!(
            "cannot {what} in {}: {reason}; check the registry's name (KubernetesOptions::registry, PODPOOL_REGISTRY) and that it is reached from here, or name an image that exists (PODPOOL_IMAGE)",
            self.place
        ))
    }
}

/// Whether another try may be answered otherwise.
fn passes(status: StatusCode) -> bool {
    let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    busy.contains(&status) || status.is_server_error()
}

/// The pause that a registry asks for, within bounds.
fn pause_of(response: &Response) -> Duration {
    let header = response.headers().get(reqwest::header::RETRY_AFTER);
    let seconds = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_PAUSE)
}

/// The body of an answer, up to a bound, each piece of it within a time.
async fn body(mut response: Response, most: usize, time: Duration) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    loop {
        let piece = timeout(time, response.chunk()).await;
        let piece = piece.map_err(|_| format!("no progress within {time:?}"))?;
        let Some(piece) = piece.map_err(|error| chain(&error.without_url()))? else {
            return Ok(bytes);
        };
        if bytes.len() + piece.len() > most {
            return Err(format!("the answer has more than {most} bytes"));
        }
        bytes.extend_from_slice(&piece);
    }
}

#[cfg(test)]
pub(super) mod fake;
#[cfg(test)]
mod tests;
