//! The uploads of this process, ended and under way: equal payloads are sent once.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::AbortHandle;

use crate::lock::lock;

use super::Hash;
use super::error::Fault;

/// Hashes of stored payloads that are remembered: 4 MiB of memory. One that is forgotten costs an upload.
// Each is there twice, in the map and in the order of eviction. Most payloads have 96 KiB or more, so these stand for
// some 6 GiB.
const REMEMBERED: usize = 64 * 1024;

pub(super) type Upload = Shared<BoxFuture<'static, Result<(), Fault>>>;

/// The payloads that this process has stored or is storing.
#[derive(Default)]
pub(super) struct Uploads {
    /// Held for look-ups and insertions alone, never across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: HashMap<Hash, Known>,
    /// The stored ones, in the order in which their uploads ended.
    stored: VecDeque<Hash>,
    closed: bool,
}

enum Known {
    Stored,
    /// A shared future: every caller with this payload awaits the same upload. The map's clone keeps it while no caller
    /// does.
    Going(Upload, AbortHandle),
}

impl Uploads {
    /// The upload of a payload, begun by `start` unless it is under way; `None` when it is stored.
    pub(super) fn join(
        &self,
        hash: Hash,
        start: impl FnOnce() -> (BoxFuture<'static, Result<(), Fault>>, AbortHandle),
    ) -> Option<Upload> {
        // Looked up and begun under one lock, or two callers with the same payload would both begin. `start` only
        // spawns, and its task takes this lock at its end, on another poll.
        let mut state = self.lock();
        match state.known.get(&hash) {
            Some(Known::Stored) => return None,
            Some(Known::Going(upload, _)) => return Some(upload.clone()),
            None => {}
        }
        let (upload, handle) = start();
        let upload = upload.shared();
        // After the run's payloads were deleted a new object would stay for ever: its caller gets the error of an ended
        // run.
        if state.closed {
            handle.abort();
        } else {
            let known = Known::Going(upload.clone(), handle);
            state.known.insert(hash, known);
        }
        Some(upload)
    }

    /// An upload ended: it is remembered if the payload is stored, and may be made again if not.
    pub(super) fn ended(&self, hash: Hash, stored: bool) {
        let mut state = self.lock();
        if !stored {
            // A failed shared future gives its error to every later caller; only without its entry is there another
            // try.
            state.known.remove(&hash);
            return;
        }
        // First in, first out: a hash that is forgotten too early costs one conditional write.
        if state.stored.len() >= REMEMBERED
            && let Some(oldest) = state.stored.pop_front()
        {
            state.known.remove(&oldest);
        }
        state.known.insert(hash, Known::Stored);
        state.stored.push_back(hash);
    }

    /// Ends the uploads under way and forgets all hashes.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.stored.clear();
        for (_, known) in state.known.drain() {
            if let Known::Going(_, handle) = known {
                handle.abort();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads").finish_non_exhaustive()
    }
}
