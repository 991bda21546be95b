//! Options of the pod's network and of containers beside the worker's.

use super::KubernetesOptions;
use crate::fleet::worker_spec::PodContainer;

impl KubernetesOptions {
    /// A named TCP port of the worker's container, for services and for people; or `PODPOOL_PORTS`, as
    /// `name=number,name=number`. A port that is not listed can be reached all the same.
    pub fn port(mut self, name: impl Into<String>, number: u16) -> Self {
        self.spec.ports.insert(name.into(), number);
        self
    }

    /// Names that mean this address in the pods, as lines of `/etc/hosts`; or `PODPOOL_HOST_ALIASES`, as
    /// `address=name name,address=name`.
    pub fn host_alias<N: Into<String>>(
        mut self,
        address: impl Into<String>,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        let names = names.into_iter().map(Into::into);
        let all = self.spec.host_aliases.entry(address.into()).or_default();
        all.extend(names);
        self
    }

    /// A container that runs to its end before the worker starts; several run one after the other, in this order. Or
    /// `PODPOOL_INIT_CONTAINERS`, as a JSON list.
    /// <https://kubernetes.io/docs/concepts/workloads/pods/init-containers/>
    pub fn init_container(mut self, container: PodContainer) -> Self {
        self.spec.init_containers.push(container);
        self
    }

    /// A container that runs beside the worker, from before its start until after its end. It is restarted when it
    /// ends; its end is not the worker's, and a pod ends without it. Needs Kubernetes 1.29. Or `PODPOOL_SIDECARS`, as a
    /// JSON list. <https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>
    pub fn sidecar(mut self, container: PodContainer) -> Self {
        self.spec.sidecars.push(container);
        self
    }
}
