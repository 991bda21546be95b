//! A small Pub/Sub that answers as configured.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use podpool::pubsub::{Connection, PubSubQueue, QueueNames};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tonic::Code;

/// The server's answer to a call.
#[derive(Clone, Debug)]
pub enum Said {
    /// A refusal.
    No(Code, &'static str),
    /// Success, with this message, encoded.
    Yes(Bytes),
    /// No answer at all: the call hangs until its caller gives up.
    Silence,
}

/// What the server received: the path, and the body without its frame.
#[derive(Clone, Debug)]
pub struct Heard {
    /// `/google.pubsub.v1.Publisher/Publish`.
    pub call: String,
    /// As it came.
    pub body: Bytes,
}

type Script = Arc<dyn Fn(&Heard) -> Said + Send + Sync>;

/// The server. It ends when this is dropped.
pub struct Refusing {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    accepting: JoinHandle<()>,
}

impl Refusing {
    /// Starts a server that answers each call by `script`.
    pub async fn start(script: impl Fn(&Heard) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let accepting = tokio::spawn(accept(listener, Arc::new(script), heard.clone()));
        Self {
            address,
            heard,
            accepting,
        }
    }

    /// A server that refuses everything in one way.
    pub async fn always(code: Code, message: &'static str) -> Self {
        Self::start(move |_| Said::No(code, message)).await
    }

    /// A connection to it, in project `demo`.
    #[must_use]
    pub fn connection(&self) -> Connection {
        let endpoint = format!("http://{}", self.address);
        let connection = Connection::builder().project("demo").endpoint(endpoint);
        connection.open().unwrap()
    }

    /// A queue on it: topic `tasks`, subscription `workers`.
    #[must_use]
    pub fn queue(&self) -> PubSubQueue {
        let names = QueueNames::new("tasks", "workers");
        let lease = super::emulator::LEASE;
        PubSubQueue::new(&self.connection(), &names, lease, Some(lease)).unwrap()
    }

    /// What was received so far, in order.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for Refusing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusing")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, script: Script, heard: Arc<Mutex<Vec<Heard>>>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(serve(socket, script.clone(), heard.clone()));
    }
}

async fn serve(socket: TcpStream, script: Script, heard: Arc<Mutex<Vec<Heard>>>) {
    let service = service_fn(move |request| answer(request, script.clone(), heard.clone()));
    let server = auto::Builder::new(TokioExecutor::new());
    // An error here means that the client has closed the connection, which every client of a test does at its end.
    server
        .serve_connection(TokioIo::new(socket), service)
        .await
        .ok();
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    script: Script,
    log: Arc<Mutex<Vec<Heard>>>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let heard = Heard {
        call: head.uri.path().to_owned(),
        // A frame of gRPC begins with one byte of flags and four of length.
        body: body.slice(5..),
    };
    let said = script(&heard);
    log.lock().unwrap().push(heard);
    Ok(match said {
        Said::Silence => std::future::pending().await,
        Said::No(code, message) => refusal(code, message),
        Said::Yes(message) => success(&message),
    })
}

fn response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A refusal is an answer of headers alone.
fn refusal(code: Code, message: &str) -> Response<Body> {
    let mut response = response(Full::default().boxed());
    let headers = response.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(code as i32));
    headers.insert("grpc-message", message.replace(' ', "%20").parse().unwrap());
    response
}

fn success(message: &Bytes) -> Response<Body> {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.extend_from_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(async { Some(Ok(trailers)) });
    response(body.boxed())
}
