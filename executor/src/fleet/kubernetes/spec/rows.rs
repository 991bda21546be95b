//! The table of all settings of workers. Each row has everything about its setting: its names, how it is read, checked
//! and shown, and what it becomes in a pod. A setting that is new is a field of
//! [`WorkerSpec`](crate::fleet::worker_spec::WorkerSpec), a row here, a method of `KubernetesOptions`, and a line of
//! README's table and of `variables.rs`.

mod containers;
mod environment;
mod files;
mod image;
mod labels;
mod network;
mod nodes;
mod placement;
mod queue;
mod registry;
mod security;
mod size;
mod template;
mod times;
mod volumes;

use super::row::Row;

/// The rows by their groups, in the order in which they are written into a pod.
const GROUPS: [&[Row]; 15] = [
    &template::ROWS,
    &image::ROWS,
    &registry::ROWS,
    &placement::ROWS,
    &size::ROWS,
    &labels::ROWS,
    &environment::ROWS,
    &files::ROWS,
    &volumes::ROWS,
    &nodes::ROWS,
    &security::ROWS,
    &network::ROWS,
    &containers::ROWS,
    &times::ROWS,
    &queue::ROWS,
];

/// All rows.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().copied().flatten()
}
