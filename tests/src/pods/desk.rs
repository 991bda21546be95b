//! Where tasks in pods call: a test sees that they run, and lets them go.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Pods;

/// The longest that a task takes to come: its pod may have to start first, and a lost message to come again.
pub const BOUND: Duration = Duration::from_secs(90);

/// What a task sends that was asked to stop.
pub(super) const CANCELLED: u8 = 2;
/// What a task receives that may end.
const GO: u8 = 1;

/// A port of this machine at which tasks call. It closes when it is dropped, and then keeps nobody.
#[derive(Debug)]
pub struct Desk {
    address: String,
    callers: Mutex<UnboundedReceiver<Caller>>,
    porter: JoinHandle<()>,
}

impl Desk {
    /// Opens one that pods reach.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn open(pods: &Pods) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, callers) = unbounded_channel();
        let porter = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // A task whose process ended on its way is no caller.
                if let Ok(words) = stream.read_u64().await {
                    let name = (words >> 32) as u32;
                    let attempt = (words & u64::from(u32::MAX)) as u32;
                    let caller = Caller {
                        name,
                        attempt,
                        stream,
                    };
                    // Nobody listens any more when the test ends.
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

    /// Its address, for tasks.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// The next task that calls.
    ///
    /// # Panics
    /// If none does within [`BOUND`].
    pub async fn caller(&self) -> Caller {
        let next = async { self.callers.lock().await.recv().await };
        match timeout(BOUND, next).await {
            Ok(Some(caller)) => caller,
            Ok(None) => panic!("the desk has closed"),
            Err(_) => panic!("no task called within {BOUND:?}"),
        }
    }

    /// A task that has called already.
    pub async fn has_caller(&self) -> Option<Caller> {
        self.callers.lock().await.try_recv().ok()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.porter.abort();
    }
}

/// A task that waits at a desk. When it is dropped the task goes.
#[derive(Debug)]
pub struct Caller {
    /// The name that it gave.
    pub name: u32,
    /// Its attempt.
    pub attempt: u32,
    stream: TcpStream,
}

impl Caller {
    /// Lets it go.
    pub async fn let_go(mut self) {
        // A task whose process was killed does not read it.
        self.stream.write_u8(GO).await.ok();
    }

    /// Waits until it reports that it was asked to stop.
    ///
    /// # Panics
    /// If it does not within [`BOUND`], or goes without a word.
    pub async fn is_cancelled(mut self) {
        match timeout(BOUND, self.stream.read_u8()).await {
            Ok(Ok(CANCELLED)) => {}
            Ok(other) => panic!("task {} went without a word: {other:?}", self.name),
            Err(_) => panic!("task {} was not cancelled within {BOUND:?}", self.name),
        }
    }
}
