//! A worker's size: CPU, memory, disk, GPUs, other resources, slots.

mod gpu;
mod limits;

use super::super::draft;
use super::super::given::{bytes, cores, fill, fill_map, number, one_of};
use super::super::names;
use super::super::row::{Row, Wrong, map, one};
use super::super::units::show_bytes;
use crate::fleet::worker_spec::Qos;

pub(super) const ROWS: [Row; 12] = [
    Row::new("cpu", "PODPOOL_CPU", "cpu", |spec, given| {
        fill(&mut spec.cpu, given, cores)
    })
    .or("1000m")
    .at("/spec/containers/worker/resources/requests/cpu")
    .check(|spec| limits::cores(spec.cpu))
    .shown(|spec| one(spec.cpu.as_ref(), |cpu| format!("{cpu}m")))
    .write(|spec, draft| {
        if spec.cpu.is_some() || !draft.asks_for("cpu") {
            draft.request("cpu", draft::millicores(spec.cpu.unwrap_or(1_000)));
        }
    }),
    Row::new(
        "cpu_limit",
        "PODPOOL_CPU_LIMIT",
        "cpu_limit",
        |spec, given| fill(&mut spec.cpu_limit, given, cores),
    )
    .at("/spec/containers/worker/resources/limits/cpu")
    .check(limits::cpu)
    .shown(|spec| one(spec.cpu_limit.as_ref(), |cpu| format!("{cpu}m")))
    .write(|spec, draft| {
        if let Some(cpu) = spec.cpu_limit {
            draft.limit("cpu", draft::millicores(cpu));
        }
    }),
    Row::new("memory", "PODPOOL_MEMORY", "memory", |spec, given| {
        fill(&mut spec.memory, given, bytes)
    })
    .or("2048Mi")
    .at("/spec/containers/worker/resources/requests/memory")
    .check(|spec| limits::memory(spec.memory))
    .shown(|spec| one(spec.memory.as_ref(), |bytes| show_bytes(*bytes)))
    .write(limits::write_memory),
    Row::new(
        "memory_limit",
        "PODPOOL_MEMORY_LIMIT",
        "memory_limit",
        |spec, given| fill(&mut spec.memory_limit, given, bytes),
    )
    .at("/spec/containers/worker/resources/limits/memory")
    .check(limits::memory_limit)
    .shown(|spec| one(spec.memory_limit.as_ref(), |bytes| show_bytes(*bytes)))
    .write(|spec, draft| {
        if let Some(bytes) = spec.memory_limit {
            draft.limit("memory", draft::bytes(bytes));
        }
    }),
    Row::new("scratch", "PODPOOL_SCRATCH", "scratch", |spec, given| {
        fill(&mut spec.scratch, given, bytes)
    })
    .at("/spec/containers/worker/resources/requests/ephemeral-storage")
    .check(|spec| limits::disk(spec.scratch))
    .shown(|spec| one(spec.scratch.as_ref(), |bytes| show_bytes(*bytes)))
    .write(limits::write_scratch),
    Row::new(
        "scratch_limit",
        "PODPOOL_SCRATCH_LIMIT",
        "scratch_limit",
        |spec, given| fill(&mut spec.scratch_limit, given, bytes),
    )
    .at("/spec/containers/worker/resources/limits/ephemeral-storage")
    .check(limits::scratch_limit)
    .shown(|spec| one(spec.scratch_limit.as_ref(), |bytes| show_bytes(*bytes)))
    .write(|spec, draft| {
        if let Some(bytes) = spec.scratch_limit {
            draft.limit("ephemeral-storage", draft::bytes(bytes));
            draft.bound_temporary(draft::bytes(bytes));
        }
    }),
    gpu::COUNT,
    gpu::VENDOR,
    gpu::TYPE,
    Row::new(
        "resource",
        "PODPOOL_RESOURCES",
        "resources",
        |spec, given| fill_map(&mut spec.resources, given, number),
    )
    .check(|spec| {
        spec.resources.iter().try_for_each(|(name, count)| {
            names::key(name)?;
            if !name.contains('/') || *count == 0 {
                let reason = "use the name of an extended resource, such as aws.amazon.com/neuron, and 1 or more of it; cpu, memory, scratch and gpu are options of their own";
                return Err(Wrong::new(format!("{name}={count}"), reason));
            }
            Ok(())
        })
    })
    .shown(|spec| map(&spec.resources, u64::to_string))
    .write(|spec, draft| {
        for (name, count) in &spec.resources {
            limits::whole(draft, name, *count);
        }
    }),
    Row::new("qos", "PODPOOL_QOS", "qos", |spec, given| {
        fill(&mut spec.qos, given, |given| {
            one_of(given, &[Qos::Guaranteed, Qos::Burstable], Qos::as_str)
        })
    })
    .or("Burstable")
    .check(limits::qos)
    .shown(|spec| one(spec.qos.as_ref(), |class| class.as_str().to_owned()))
    .write(limits::write_qos),
    Row::new(
        "slots_per_worker",
        "PODPOOL_SLOTS_PER_WORKER",
        "slots_per_worker",
        |spec, given| {
            fill(&mut spec.slots_per_worker, given, |given| {
                number(given).map_err(|_| "use a number from 1 to 1024".to_owned())
            })
        },
    )
    .or("1")
    .check(|spec| match spec.slots_per_worker {
        Some(slots) if !(1..=1024).contains(&slots) => {
            Err(Wrong::new(slots, "use a number from 1 to 1024"))
        }
        _ => Ok(()),
    })
    .shown(|spec| one(spec.slots_per_worker.as_ref(), u32::to_string)),
];
