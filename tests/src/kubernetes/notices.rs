//! The notices that a program gives.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use podpool::core::notice::NOTICE;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::BOUND;

/// The notices, line by line.
#[derive(Clone, Debug)]
pub struct Notices {
    began: Instant,
    lines: Arc<Mutex<Vec<(Duration, String)>>>,
    news: Arc<Notify>,
}

impl Notices {
    /// Gathers from now on, once in a program. A subscriber of one thread would not do: whether an event is of interest is
    /// remembered for all threads, and others may be the first to ask.
    ///
    /// # Panics
    /// If the program has a subscriber.
    #[must_use]
    pub fn listen() -> Self {
        let notices = Self {
            began: Instant::now(),
            lines: Arc::default(),
            news: Arc::default(),
        };
        let lines = tracing_subscriber::fmt::layer()
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(notices.clone());
        let only = Targets::new().with_target(NOTICE, LevelFilter::INFO);
        let subscriber = tracing_subscriber::registry().with(only).with(lines);
        subscriber.init();
        notices
    }

    /// Waits for a line with these words; gives when it came.
    ///
    /// # Panics
    /// If none comes.
    pub async fn until(&self, words: &str) -> Duration {
        let found = async {
            loop {
                let news = self.news.notified();
                let found = |(_, line): &&(Duration, String)| line.contains(words);
                if let Some((at, _)) = self.lines.lock().unwrap().iter().find(found) {
                    return *at;
                }
                news.await;
            }
        };
        let found = timeout(BOUND, found).await;
        found.unwrap_or_else(|_| panic!("nobody told of {words:?}: {:?}", self.lines()))
    }

    /// All lines, with their times.
    #[must_use]
    pub fn lines(&self) -> Vec<(Duration, String)> {
        self.lines.lock().unwrap().clone()
    }
}

impl Write for Notices {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        self.lines
            .lock()
            .unwrap()
            .push((self.began.elapsed(), text));
        self.news.notify_one();
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Notices {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
