//! Options of a worker's size: CPU, memory, disk, GPUs, slots.

use super::KubernetesOptions;
use crate::fleet::worker_spec::{GpuVendor, Qos};

impl KubernetesOptions {
    /// CPU that a worker requests, in thousandths of a core, from 1; there is no limit unless
    /// [`cpu_limit`](Self::cpu_limit) sets one. Default: 1,000; or `PODPOOL_CPU`, such as `2` or `500m`.
    pub const fn cpu(mut self, millicores: u64) -> Self {
        self.spec.cpu = Some(millicores);
        self
    }

    /// The limit of a worker's CPU, in thousandths of a core, not below its request. Default: none; or
    /// `PODPOOL_CPU_LIMIT`.
    pub const fn cpu_limit(mut self, millicores: u64) -> Self {
        self.spec.cpu_limit = Some(millicores);
        self
    }

    /// Memory of a worker, its request and its limit, in bytes, from 16 MiB. All its slots share it; the limit of each
    /// slot is [`slot_memory`](crate::Builder::slot_memory). Default: 2 GiB; or `PODPOOL_MEMORY`, such as `4Gi`. See
    /// the [table](crate::options#memory) of all options on memory.
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.spec.memory = Some(bytes);
        self
    }

    /// The limit of a worker's memory where it is above the request, in bytes. A worker above its request may be ended
    /// when its node runs out of memory. Default: the request; or `PODPOOL_MEMORY_LIMIT`.
    pub const fn memory_limit(mut self, bytes: u64) -> Self {
        self.spec.memory_limit = Some(bytes);
        self
    }

    /// Disk of a worker for `/tmp` and logs (ephemeral storage), its request and its limit, in bytes, from 1 MiB.
    /// Default: none is requested; or `PODPOOL_SCRATCH`, such as `10Gi`.
    /// <https://kubernetes.io/docs/concepts/storage/ephemeral-storage/>
    pub const fn scratch(mut self, bytes: u64) -> Self {
        self.spec.scratch = Some(bytes);
        self
    }

    /// The limit of a worker's disk where it is above the request, in bytes; also of `/tmp`. A worker above it is
    /// evicted. Default: the request; or `PODPOOL_SCRATCH_LIMIT`.
    pub const fn scratch_limit(mut self, bytes: u64) -> Self {
        self.spec.scratch_limit = Some(bytes);
        self
    }

    /// GPUs of a worker, from 1 to 64. It tolerates the taint of the same name that nodes with GPUs often have. Or
    /// `PODPOOL_GPU`.
    pub const fn gpu(mut self, count: u32) -> Self {
        self.spec.gpu = Some(count);
        self
    }

    /// The vendor of the GPUs. Default: [`GpuVendor::Nvidia`]; or `PODPOOL_GPU_VENDOR`.
    pub const fn gpu_vendor(mut self, vendor: GpuVendor) -> Self {
        self.spec.gpu_vendor = Some(vendor);
        self
    }

    /// The type of the GPUs on GKE, such as `nvidia-l4`: nodes with the label `cloud.google.com/gke-accelerator`. It
    /// needs [`gpu`](Self::gpu). Or `PODPOOL_GPU_TYPE`.
    /// <https://cloud.google.com/kubernetes-engine/docs/how-to/gpus>
    pub fn gpu_type(mut self, name: impl Into<String>) -> Self {
        self.spec.gpu_type = Some(name.into());
        self
    }

    /// So many of another resource of nodes, such as `aws.amazon.com/neuron`. Or `PODPOOL_RESOURCES`, as
    /// `name=count,name=count`.
    /// <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#extended-resources>
    pub fn resource(mut self, name: impl Into<String>, count: u64) -> Self {
        self.spec.resources.insert(name.into(), count);
        self
    }

    /// The pods' class of service. With [`Qos::Guaranteed`] the limit of CPU is its request, and `build()` refuses
    /// other limits than the requests, of other containers of the pod too. Default: [`Qos::Burstable`]; or
    /// `PODPOOL_QOS`.
    pub const fn qos(mut self, class: Qos) -> Self {
        self.spec.qos = Some(class);
        self
    }

    /// Tasks that a worker runs at a time, from 1 to 1,024. Default: 1; or `PODPOOL_SLOTS_PER_WORKER`.
    pub const fn slots_per_worker(mut self, slots: u32) -> Self {
        self.spec.slots_per_worker = Some(slots);
        self
    }
}
