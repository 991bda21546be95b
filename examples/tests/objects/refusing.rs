//! A server of objects that answers GET, and refuses one of them as often as a test wants.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A refusal as stores send it: some lines of XML.
const REFUSAL: &str = "<?xml version=\"1.0\"?>\n<Error>\n<Code>AccessDenied</Code>\n</Error>\n";

/// Answers on a port of its own while the test's process runs.
pub(crate) struct Refusing {
    endpoint: String,
    shared: Arc<Shared>,
}

struct Shared {
    objects: Vec<(PathBuf, &'static str)>,
    watched: &'static str,
    refuse: fn(usize) -> bool,
    asked: AtomicUsize,
}

impl Refusing {
    /// `refuse` receives the number of requests for `watched`, this one included.
    pub(crate) fn new(
        objects: Vec<(PathBuf, &'static str)>,
        watched: &'static str,
        refuse: fn(usize) -> bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            objects,
            watched,
            refuse,
            asked: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                thread::spawn(move || drop(shared.answer(&stream)));
            }
        });
        Self { endpoint, shared }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The number of requests for the watched object.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn answer(&self, mut stream: &TcpStream) -> io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        while lines
            .next()
            .transpose()?
            .is_some_and(|line| !line.is_empty())
        {}
        let path = request.split(' ').nth(1).unwrap_or_default();
        let (status, body) = self.look_up(path);
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"1\"\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn look_up(&self, path: &str) -> (&'static str, &'static str) {
        if path == self.watched && (self.refuse)(self.asked.fetch_add(1, Ordering::SeqCst) + 1) {
            return ("403 Forbidden", REFUSAL);
        }
        match self
            .objects
            .iter()
            .find(|(object, _)| object == Path::new(path))
        {
            Some((_, body)) => ("200 OK", body),
            None => ("404 Not Found", ""),
        }
    }
}
