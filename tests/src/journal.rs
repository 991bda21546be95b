//! What ran, recorded across processes: a file to which tasks append lines, or a port to which pods send them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::address::{Address, ask};
use crate::meeting::listen;
use crate::scratch::Scratch;

/// A record that tasks write to and a test reads.
#[derive(Debug)]
pub struct Journal(Book);

/// Where the lines are.
#[derive(Debug)]
enum Book {
    File(Scratch),
    Host {
        address: String,
        text: Arc<Mutex<String>>,
        clerk: JoinHandle<()>,
    },
}

impl Journal {
    /// An empty file in a directory of its own.
    ///
    /// # Panics
    /// When the directory cannot be made.
    #[must_use]
    pub fn new() -> Self {
        Self(Book::File(Scratch::new()))
    }

    /// An empty journal that pods reach at a port of this host. Needs a tokio runtime.
    ///
    /// # Panics
    /// When there is no such port.
    #[must_use]
    pub fn at(host: &str) -> Self {
        let listener = listen(host).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let text = Arc::new(Mutex::new(String::new()));
        let clerk = tokio::spawn(keep(listener, Arc::clone(&text)));
        Self(Book::Host {
            address,
            text,
            clerk,
        })
    }

    /// The journal's address, for tasks.
    #[must_use]
    pub fn address(&self) -> Address {
        match &self.0 {
            Book::File(scratch) => scratch.path().join("journal").into(),
            Book::Host { address, .. } => Address::Host(address.clone()),
        }
    }

    /// The lines so far, in the order in which they were written.
    ///
    /// # Panics
    /// When the file cannot be read.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let text = match &self.0 {
            Book::File(scratch) => match read(&scratch.path().join("journal")) {
                Ok(text) => text,
                Err(error) => panic!("the journal cannot be read: {error}"),
            },
            Book::Host { text, .. } => text.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// The lines without repetitions, sorted.
    ///
    /// # Panics
    /// When the file cannot be read.
    #[must_use]
    pub fn distinct(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.sort();
        lines.dedup();
        lines
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Book::Host { clerk, .. } = &self.0 {
            clerk.abort();
        }
    }
}

/// The text of a file; empty where no task has made the file yet.
fn read(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// Records lines, one connection after another.
async fn keep(listener: TcpListener, text: Arc<Mutex<String>>) {
    while let Ok((stream, _)) = listener.accept().await {
        // A task whose process was killed during the connection has sent no whole line.
        take_down(stream, &text).await.ok();
    }
}

async fn take_down(mut stream: TcpStream, text: &Mutex<String>) -> io::Result<()> {
    let mut line = String::new();
    stream.read_to_string(&mut line).await?;
    let lines = {
        let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(&line);
        count(&text)
    };
    stream.write_u32(lines).await
}

fn count(text: &str) -> u32 {
    u32::try_from(text.lines().count()).unwrap_or(u32::MAX)
}

/// Appends a line in one write, so that lines of several processes do not mix, and returns the number of lines.
///
/// # Errors
/// When the file cannot be written or read, or the port does not answer.
pub fn note(journal: &Address, line: &str) -> io::Result<u32> {
    let line = format!("{line}\n");
    match journal {
        Address::Path(path) => {
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            file.write_all(line.as_bytes())?;
            read(path).map(|text| count(&text))
        }
        Address::Host(host) => ask(host, line.as_bytes()),
    }
}
