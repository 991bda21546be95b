//! Where a task finds its test: a path on the same machine, or a host and a port that pods reach.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

/// A meeting's or a journal's address; it travels as an argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// A socket or a file on this machine.
    Path(PathBuf),
    /// A host and its port, for pods.
    Host(String),
}

impl From<&str> for Address {
    fn from(path: &str) -> Self {
        Self::Path(path.into())
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

/// Both ends of a meeting, whatever carries it.
pub(crate) trait Talk: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Talk for T {}

/// As [`Talk`], for a thread that blocks.
pub(crate) trait BlockingTalk: Read + Write {}

impl<T: Read + Write> BlockingTalk for T {}

impl Address {
    /// A connection to the address.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Talk>> {
        Ok(match self {
            Self::Path(path) => Box::new(tokio::net::UnixStream::connect(path).await?),
            Self::Host(host) => Box::new(tokio::net::TcpStream::connect(host).await?),
        })
    }

    /// As [`connect`](Self::connect), blocking the thread.
    pub(crate) fn connect_blocking(&self) -> io::Result<Box<dyn BlockingTalk>> {
        Ok(match self {
            Self::Path(path) => Box::new(UnixStream::connect(path)?),
            Self::Host(host) => Box::new(TcpStream::connect(host)?),
        })
    }
}

/// Sends all of `words` to a host, closes the sending side, and reads a number (big-endian, 32 bits) as the answer.
pub(crate) fn ask(host: &str, words: &[u8]) -> io::Result<u32> {
    let mut stream = TcpStream::connect(host)?;
    stream.write_all(words)?;
    // The host reads until the end of the stream, so the answer comes only after this half is closed.
    stream.shutdown(Shutdown::Write)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    Ok(u32::from_be_bytes(answer))
}
