//! A desk to which tasks in pods connect: a test sees that the tasks run, and releases them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Pods;

/// The longest time until a task connects: its pod may have to start first, and a lost message to be delivered again.
pub const BOUND: Duration = Duration::from_secs(90);

/// What a task sends when its cancellation token is set.
pub(super) const CANCELLED: u8 = 2;
/// What a task receives when it is released.
const GO: u8 = 1;

/// A port of this machine to which tasks connect. The port closes when this value is dropped; no task waits afterwards.
#[derive(Debug)]
pub struct Desk {
    address: String,
    callers: Mutex<UnboundedReceiver<Caller>>,
    porter: JoinHandle<()>,
}

impl Desk {
    /// Opens a desk that pods reach.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn open(pods: &Pods) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, callers) = unbounded_channel();
        let porter = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // A connection without a whole greeting: the task's process ended meanwhile.
                if let Ok(words) = stream.read_u64().await {
                    let name = (words >> 32) as u32;
                    let attempt = (words & u64::from(u32::MAX)) as u32;
                    let caller = Caller {
                        name,
                        attempt,
                        stream,
                    };
                    // The receiver is gone when the test ends.
                    tell.send(caller).ok();
                }
            }
        });
        Self {
            address: format!("{}:{port}", pods.host()),
            callers: Mutex::new(callers),
            porter,
        }
    }

    /// The desk's address, for tasks.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// The next task that connects.
    ///
    /// # Panics
    /// If no task connects within [`BOUND`].
    pub async fn caller(&self) -> Caller {
        let next = async { self.callers.lock().await.recv().await };
        match timeout(BOUND, next).await {
            Ok(Some(caller)) => caller,
            Ok(None) => panic!("the desk has closed"),
            Err(_) => panic!("no task called within {BOUND:?}"),
        }
    }

    /// A task that has connected already; `None` at once where there is none.
    pub async fn has_caller(&self) -> Option<Caller> {
        self.callers.lock().await.try_recv().ok()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.porter.abort();
    }
}

/// A task that waits at a desk. When this value is dropped the task is released.
#[derive(Debug)]
pub struct Caller {
    /// The name that the task gave.
    pub name: u32,
    /// The attempt.
    pub attempt: u32,
    stream: TcpStream,
}

impl Caller {
    /// Releases the task.
    pub async fn let_go(mut self) {
        // A task whose process was killed does not read the byte; that is no error of the test.
        self.stream.write_u8(GO).await.ok();
    }

    /// Waits until the task reports its cancellation.
    ///
    /// # Panics
    /// If the task does not report within [`BOUND`], or its connection ends without a report.
    pub async fn is_cancelled(mut self) {
        match timeout(BOUND, self.stream.read_u8()).await {
            Ok(Ok(CANCELLED)) => {}
            Ok(other) => panic!("task {} reported no cancellation: {other:?}", self.name),
            Err(_) => panic!("task {} was not cancelled within {BOUND:?}", self.name),
        }
    }
}
