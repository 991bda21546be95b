//! The first line of a program: master, worker or slot.

use podpool_core::init::Role;

/// Takes the process's role from its environment. In a slot or a worker this never returns: a slot runs tasks until
/// its worker ends it, a worker feeds slots until its run is over. It may be called more than once, and
/// inside a runtime.
///
/// A worker or slot installs a tracing subscriber that writes the events selected by `RUST_LOG` to stderr.
pub fn init() -> Role {
    live(podpool_core::init::init())
}

/// Like [`init`], and runs `setup` once, in master, worker and slot alike, before anything else. No tracing
/// subscriber is installed then.
pub fn init_with(setup: impl FnOnce()) -> Role {
    live(podpool_core::init::init_with(setup))
}

#[cfg(unix)]
fn live(role: Role) -> Role {
    crate::worker::pod::run_if(role)
}

/// On a system that cannot run worker processes the program reports that and exits: its `main` must not run in its
/// place.
#[cfg(not(unix))]
fn live(role: Role) -> Role {
    if role == Role::Worker {
        podpool_core::init::cannot_work(
            "this system cannot run a worker of its own; start workers on a Unix system",
        );
    }
    role
}
