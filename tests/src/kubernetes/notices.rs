//! The notices that a program prints.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use podpool_core::notice::NOTICE;
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
    /// Records notices from now on, once in a program. A subscriber of one thread would not suffice: tracing caches for
    /// all threads whether any subscriber takes an event, and another thread may emit the event first.
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

    /// Waits for a line that contains `words`; returns the time of that line, counted from [`listen`](Self::listen).
    ///
    /// # Panics
    /// If no such line comes.
    pub async fn until(&self, words: &str) -> Duration {
        let found = async {
            loop {
                // `notify_one` keeps a permit, so a line that comes between the look and the await is not missed.
                let news = self.news.notified();
                let found = |(_, line): &&(Duration, String)| line.contains(words);
                if let Some((at, _)) = self.lines.lock().unwrap().iter().find(found) {
                    return *at;
                }
                news.await;
            }
        };
        let found = timeout(BOUND, found).await;
        found.unwrap_or_else(|_| panic!("no notice has {words:?}: {:?}", self.lines()))
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
