//! The way to Pub/Sub: project, address, credentials and one channel, shared by queues and administration.

use std::fmt;
use std::time::Duration;

use google_cloud_auth::credentials::{self, Credentials};
use tonic::transport::{ClientTlsConfig, Endpoint};

use super::error::{ConnectError, chain};
use super::io::IoThread;
use super::reach;
use super::settings::Settings;
use super::stub::Stub;

/// How long a TCP and TLS handshake may take.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection with calls under way is pinged so often, and is given up without an answer after [`SIGN_OF_LIFE`].
/// Pulls hang for minutes: without this a dead connection would look like an empty queue.
// 45 s until a dead connection is left: within the default lease of 60 s, so that a renewal can still be sent on
// another one. At double, every lease would be lost with the connection.
const KEEPALIVE: Duration = Duration::from_secs(30);
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Bytes that may be on their way unread, for one call and for all: distance costs throughput by the window.
// HTTP/2 begins with 64 KiB, which allows 640 KiB a second over a way of 100 ms; 8 MiB allow 80 MiB. They bound memory
// only where answers are that large. <https://www.rfc-editor.org/rfc/rfc9113#section-6.9.2>
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// A connection to Pub/Sub. Cheap to clone; a thread of its own drives its sockets, which the first call opens.
#[derive(Clone)]
pub struct Connection {
    settings: Settings,
    credentials: Credentials,
    /// Calls are signed by the credentials above.
    signed: bool,
    stub: Stub,
}

/// Settings of a [`Connection`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `open`"]
pub struct ConnectionBuilder {
    project: Option<String>,
    endpoint: Option<String>,
    credentials: Option<Credentials>,
}

impl ConnectionBuilder {
    /// The project. Default: `PODPOOL_PROJECT`, then `GOOGLE_CLOUD_PROJECT`, then `podpool` on an emulator.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// The address, such as a regional one (`europe-west1-pubsub.googleapis.com`). Default: `PUBSUB_EMULATOR_HOST`
    /// if it is set, else Google's. `http://` means no TLS and no credentials but given ones.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Credentials. Default: Google's application default credentials, or none where there is no TLS.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Starts the connection's thread. Nothing is sent yet: a wrong address shows at the first call, or by
    /// [`Connection::reach`].
    ///
    /// # Errors
    /// [`ConnectError`] when the project is missing, or address or credentials cannot be used.
    pub fn open(self) -> Result<Connection, ConnectError> {
        let settings =
            Settings::resolve(self.project.as_deref(), self.endpoint.as_deref(), |name| {
                std::env::var(name).ok()
            })?;
        // One TLS implementation for all clients. The error, that a provider is installed already, is no failure: then
        // the program's provider serves.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let io = IoThread::start()?;
        // On the thread's runtime, because both start tasks there: the refreshing of tokens, and the channel's. Without
        // a runtime of the caller they would panic here; on the caller's they would end with it.
        io.enter(|| {
            let signing = self
                .credentials
                .map_or_else(|| find(&settings), |given| Ok(Some(given)))?;
            let channel = endpoint(&settings)?.connect_lazy();
            let stub = Stub::new(channel, signing.clone(), io.clone());
            let anonymous = || credentials::anonymous::Builder::new().build();
            Ok(Connection {
                signed: signing.is_some(),
                credentials: signing.unwrap_or_else(anonymous),
                settings,
                stub,
            })
        })
    }
}

impl Connection {
    /// Settings of a connection; those that are not set are read from the environment.
    pub fn builder() -> ConnectionBuilder {
        ConnectionBuilder::default()
    }

    /// The project in which short names are.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.settings.project
    }

    /// The address, with its scheme.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    /// Checks within some seconds that Pub/Sub is reached: an access token is fetched, the address is connected to, and
    /// one call is made that changes nothing and needs no right. A service that answers is reached, whatever it
    /// answers; transient errors are left to the calls that follow, which are tried again.
    ///
    /// # Errors
    /// [`ConnectError::Credentials`] without a token or with one that is not accepted, [`ConnectError::Unreachable`]
    /// for an address where nothing listens, nothing answers within 10 s, or another service does. Each names what to
    /// set.
    pub async fn reach(&self) -> Result<(), ConnectError> {
        let credentials = Some(&self.credentials).filter(|_| self.signed);
        let endpoint = endpoint(&self.settings)?;
        reach::look(&self.settings, endpoint, credentials, &self.stub).await
    }

    pub(super) const fn stub(&self) -> &Stub {
        &self.stub
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("project", &self.settings.project)
            .field("endpoint", &self.settings.endpoint)
            .finish_non_exhaustive()
    }
}

/// The default credentials; none where there is no TLS, for no credentials of a machine may travel in the clear.
fn find(settings: &Settings) -> Result<Option<Credentials>, ConnectError> {
    if settings.plain {
        return Ok(None);
    }
    let found = credentials::Builder::default().build();
    found
        .map(Some)
        .map_err(|error| ConnectError::Credentials(chain(&error)))
}

fn endpoint(settings: &Settings) -> Result<Endpoint, ConnectError> {
    let refused = |error: tonic::transport::Error| ConnectError::Endpoint {
        endpoint: settings.endpoint.clone(),
        reason: chain(&error),
    };
    let mut endpoint = Endpoint::from_shared(settings.endpoint.clone())
        .and_then(|endpoint| endpoint.user_agent(concat!("podpool/", env!("CARGO_PKG_VERSION"))))
        .map_err(refused)?
        .connect_timeout(CONNECT)
        // An ack or a renewal is one small packet, which Nagle's algorithm would hold back until the last is confirmed.
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(SIGN_OF_LIFE)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    if !settings.plain {
        let tls = ClientTlsConfig::new().with_native_roots();
        endpoint = endpoint.tls_config(tls).map_err(refused)?;
    }
    Ok(endpoint)
}
