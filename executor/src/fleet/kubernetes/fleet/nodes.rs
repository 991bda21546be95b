//! Nodes are read for the places of pods, and places are reported to the dispatcher.

use std::sync::Arc;

use kube::runtime::watcher::Event;

use super::super::places::Answer;
use super::Work;
use super::watch::ClusterEvent;

impl Work {
    /// A pod of this run may have come to a node, or is gone.
    pub(super) fn note_place(&mut self, event: &ClusterEvent) {
        let ClusterEvent::Pod(Ok(event)) = event else {
            return;
        };
        match event {
            Event::Apply(pod) | Event::InitApply(pod) if self.opener.is_ours(&pod.metadata) => {
                self.places.seen(pod);
            }
            Event::Delete(pod) => self.places.gone(pod),
            _ => {}
        }
    }

    /// Reports places, and reads the nodes that they lack.
    pub(super) fn report_places(&mut self) {
        while let Some(node) = self.places.next_question(self.asking.len()) {
            let cluster = self.opener.cluster().clone();
            self.asking.spawn(async move {
                let answer = cluster.node_labels(&node).await;
                (node, answer)
            });
        }
        for event in self.places.take() {
            // The dispatcher may have ended before.
            self.events.send(event).ok();
        }
    }

    pub(super) fn on_node(&mut self, node: &Arc<str>, answer: Answer) {
        self.places.answered(node, answer);
    }
}
