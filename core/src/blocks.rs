//! Large blocks of memory that are used again.
//!
//! A fresh block costs a page fault for every 4 KiB, which is more than copying into it. Allocators keep freed memory
//! by thread, and large payloads are allocated by one thread and freed by another; so a few blocks are kept here,
//! whichever thread frees them.
// Paid for by the scoreboard's row `bytes`: 0.8 to 1.0 of a bare pool's rate with these blocks, 0.6 to 0.7 without.

use std::mem;
use std::sync::Mutex;

use bytes::Bytes;

use crate::lock::lock;

/// Smaller blocks are the allocator's business.
// 64 page faults of 4 KiB each.
const SMALLEST: usize = 256 << 10;
/// Bytes that are kept at most; a larger block is freed.
// 64 blocks of the smallest size at most, which bounds the search in `take`. All of it stays with the process for its
// life.
const KEPT: usize = 16 << 20;
/// Capacities are multiples of this, so that arguments and results of about one size use each other's blocks.
// A quarter of the smallest block that is kept: a block fits the next payload although that is a little longer.
const GRAIN: usize = 64 << 10;

static FREE: Mutex<Free> = Mutex::new(Free::new());

/// Blocks that are not in use, the last one freed at the end: its pages may still be in a cache.
#[derive(Debug)]
struct Free {
    blocks: Vec<Vec<u8>>,
    bytes: usize,
}

impl Free {
    const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            bytes: 0,
        }
    }

    /// A block of at least `capacity` bytes and little more: a slice that keeps a part of it keeps all of it.
    fn take(&mut self, capacity: usize) -> Option<Vec<u8>> {
        let most = capacity + capacity / 4;
        let fits = |block: &Vec<u8>| (capacity..=most).contains(&block.capacity());
        // From the end: the block that was freed last may still be in a cache. At most 64 are looked at.
        let place = self.blocks.iter().rposition(fits)?;
        let block = self.blocks.remove(place);
        self.bytes -= block.capacity();
        Some(block)
    }

    /// Keeps a block in place of the oldest ones. Gives those back, for the caller to free them without the lock.
    fn keep(&mut self, mut block: Vec<u8>) -> Vec<Vec<u8>> {
        block.clear();
        self.bytes += block.capacity();
        self.blocks.push(block);
        let mut excess = 0;
        while self.bytes > KEPT {
            self.bytes -= self.blocks[excess].capacity();
            excess += 1;
        }
        self.blocks.drain(..excess).collect()
    }
}

/// An empty vector with room for `capacity` bytes, used before if there is such a one.
pub(crate) fn with_capacity(capacity: usize) -> Vec<u8> {
    take(&FREE, capacity)
}

/// Shares a vector; the last owner of a large one leaves it to be used again.
pub(crate) fn share(bytes: Vec<u8>) -> Bytes {
    share_until_freed(bytes, &FREE)
}

fn take(free: &Mutex<Free>, capacity: usize) -> Vec<u8> {
    if !(SMALLEST..=KEPT).contains(&capacity) {
        return Vec::with_capacity(capacity);
    }
    // The guard ends with the statement: a fresh allocation below is made without the lock.
    let block = lock(free).take(capacity);
    block.unwrap_or_else(|| Vec::with_capacity(capacity.next_multiple_of(GRAIN)))
}

fn share_until_freed(bytes: Vec<u8>, free: &'static Mutex<Free>) -> Bytes {
    if (SMALLEST..=KEPT).contains(&bytes.capacity()) {
        // An allocation of its own for the owner, which is why small vectors are shared as they are.
        Bytes::from_owner(Block(bytes, free))
    } else {
        bytes.into()
    }
}

/// A block in use, and where it goes afterwards.
#[derive(Debug)]
struct Block(Vec<u8>, &'static Mutex<Free>);

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

// What does not fit is freed after the lock is let go: to unmap a large block takes long.
impl Drop for Block {
    fn drop(&mut self) {
        let block = mem::take(&mut self.0);
        let mut free = lock(self.1);
        let excess = free.keep(block);
        drop(free);
        drop(excess);
    }
}

#[cfg(test)]
mod tests;
