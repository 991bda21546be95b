//! A relay in front of a server: while the relay is closed the server cannot be reached, and all connections are cut.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// The variable that names Pub/Sub's emulator.
pub const HOST: &str = "PUBSUB_EMULATOR_HOST";

/// A relay on a port of this machine.
#[derive(Debug)]
pub struct Relay {
    server: String,
    address: SocketAddr,
    /// The relay's accept loop, which owns every connection; empty while the relay is closed.
    open: Arc<Mutex<JoinSet<()>>>,
}

impl Relay {
    /// Relays to the server at `server`, `HOST:PORT`. Needs a tokio runtime.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn open(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            server,
            address: listener.local_addr().unwrap(),
            open: Arc::default(),
        };
        relay.serve(listener).await;
        relay
    }

    /// Where the relay listens, `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Cuts every connection, and refuses new ones. Returns when the accept loop has ended, so the port is free again.
    pub async fn close(&self) {
        self.open.lock().await.shutdown().await;
    }

    /// Listens again, on the same port.
    ///
    /// # Panics
    /// When another process has taken the port.
    pub async fn reopen(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener).await;
    }

    async fn serve(&self, listener: TcpListener) {
        let server = self.server.clone();
        self.open.lock().await.spawn(async move {
            // The set is dropped with this task, and a dropped set aborts its connections.
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let server = server.clone();
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        // An error here means that client or server has closed the connection; the other one sees it.
                        copy_bidirectional(&mut client, &mut server).await.ok();
                    }
                });
                // Results of ended connections are taken out, or the set would grow for the whole run.
                while connections.try_join_next().is_some() {}
            }
        });
    }
}
