//! The pods of a run as the cluster shows them, followed by a watch of the tests' own.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use podpool::RunId;
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::job::RUN_LABEL;
use tokio::time::timeout;

use super::BOUND;

/// The pods of a run.
pub struct Sight {
    news: Pin<Box<dyn Stream<Item = Result<Event<Pod>, Error>> + Send>>,
    pods: BTreeMap<String, Pod>,
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pods.keys()).finish()
    }
}

impl Sight {
    /// Watches the pods of a run.
    pub fn new(cluster: &Cluster, run: &RunId) -> Self {
        let of_run = Config::default().labels(&format!("{RUN_LABEL}={run}"));
        Self {
            news: watcher(cluster.pods(), of_run).default_backoff().boxed(),
            pods: BTreeMap::new(),
        }
    }

    /// Follows the pods until `wanted` holds; returns the pods.
    pub async fn until(&mut self, wanted: impl Fn(&[Pod]) -> bool) -> Vec<Pod> {
        let found = timeout(BOUND, self.until_ever(wanted)).await;
        found.unwrap_or_else(|_| panic!("the pods never were as wanted: {:#?}", self.pods))
    }

    /// As [`until`](Self::until), without a limit: the caller sets one.
    pub async fn until_ever(&mut self, wanted: impl Fn(&[Pod]) -> bool) -> Vec<Pod> {
        loop {
            let pods: Vec<Pod> = self.pods.values().cloned().collect();
            if wanted(&pods) {
                return pods;
            }
            let news = self.news.next().await.expect("the watch ended");
            match news.unwrap() {
                Event::Apply(pod) | Event::InitApply(pod) => {
                    self.pods.insert(pod.name_any(), pod);
                }
                Event::Delete(pod) => {
                    self.pods.remove(&pod.name_any());
                }
                Event::Init | Event::InitDone => {}
            }
        }
    }
}
