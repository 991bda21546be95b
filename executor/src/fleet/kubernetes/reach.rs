//! The cluster as a run's fleet: reached first, then given the run.

use async_trait::async_trait;
use podpool_core::broker::ClassId;
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::size::size;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::client::Cluster;
use super::fleet;
use super::job::{NAME_LABEL, RunSecret};
use super::spec::WorkerSpec;
use crate::error::BuildError;
use crate::error::start::failed;
use crate::fleet::{Fleet, FleetRun, ReachedFleet};

/// Workers as pods of a cluster.
pub(crate) struct ClusterFleet {
    /// The workers' settings; [`WorkerSpec::check`] has passed.
    pub(crate) spec: WorkerSpec,
    /// Most workers at a time.
    pub(crate) max_workers: u32,
}

struct ReachedCluster {
    fleet: ClusterFleet,
    cluster: Cluster,
}

#[async_trait]
impl Fleet for ClusterFleet {
    fn classes(&self) -> Vec<(ClassId, String)> {
        let spec = &self.spec;
        let image = spec.worker_image().unwrap_or("an image of this program");
        let (cpu, memory) = (spec.cpu_millicores(), size(spec.memory_bytes()));
        let slots = spec.slots();
        let pods =
            format!("pods of {image} with {cpu} m of CPU, {memory} of memory, {slots} slots");
        vec![(ClassId::DEFAULT, pods)]
    }

    async fn reach(self: Box<Self>) -> Result<Box<dyn ReachedFleet>, BuildError> {
        let cluster = Cluster::connect(self.spec.namespace.as_deref())
            .await
            .map_err(failed("reach the Kubernetes cluster"))?;
        let fleet = *self;
        // Last of all that needs the cluster: a push may take minutes.
        #[cfg(feature = "image")]
        let fleet = with_image(fleet, &cluster).await?;
        Ok(Box::new(ReachedCluster { fleet, cluster }))
    }
}

/// The same with an image, where none is named.
#[cfg(feature = "image")]
async fn with_image(
    mut fleet: ClusterFleet,
    cluster: &Cluster,
) -> Result<ClusterFleet, BuildError> {
    let provided = super::image::provide(&mut fleet.spec, cluster).await;
    provided.map_err(failed("make the image of the workers"))?;
    Ok(fleet)
}

#[async_trait]
impl ReachedFleet for ReachedCluster {
    async fn run(
        self: Box<Self>,
        run: FleetRun,
        orders: UnboundedReceiver<FleetOrder>,
        events: UnboundedSender<FleetEvent>,
    ) {
        let secret = run.files.map(|files| RunSecret {
            descriptor: files.descriptor,
            key: files.key.to_vec(),
        });
        // `client/join` describes every run whose workers are other processes, so this is an error of the program.
        let Some(secret) = secret else {
            // The dispatcher may have ended before.
            let reason = "pods cannot open the queues of this run".to_owned();
            events.send(FleetEvent::Broken(reason)).ok();
            let leftovers = Vec::new();
            events.send(FleetEvent::Ended { leftovers }).ok();
            return;
        };
        let mut spec = self.fleet.spec;
        if let Some(name) = &run.name {
            spec.labels.insert(NAME_LABEL.to_owned(), name.to_string());
        }
        let fleet = fleet::Fleet {
            run: run.run,
            spec,
            max_workers: self.fleet.max_workers,
            secret,
            cluster: self.cluster,
            cohorts: run.cohorts,
            replaces: run.replaces,
        };
        fleet::run(fleet, orders, events).await;
    }
}
