//! What the memory queue decides: messages, leases and their expiry. Pure: the time is a parameter, and nothing waits.
//!
//! Every lease lasts equally long from its taking or renewal, so the leases in order of renewal are in order of
//! expiry too. They lie in a table, chained in that order: taking, renewing and answering one touches its
//! entries beside it only, and no sorted map or stale timer entry is needed.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::name::LeaseKey;
use crate::instant::after;

/// The end of a chain: a place that no table reaches.
// Leases are chained by 32-bit places: 4 bytes less for each link, and 2^32 leases would take 256 GiB.
const END: u32 = u32::MAX;

/// The serial number of a free place; no lease has it.
const FREE: u64 = 0;

/// An emptied backlog larger than this gives its memory back (in messages; 32 bytes each).
const KEPT_CAPACITY: usize = 16_384;

/// Messages and leases. `now` must not run backwards from call to call.
#[derive(Debug)]
pub(super) struct QueueState {
    /// Stored and not leased; the front is taken next.
    ready: VecDeque<Bytes>,
    /// Leased messages and free places.
    table: Vec<Place>,
    /// First of the free places, chained by `newer`.
    free: u32,
    /// The lease that expires first, and the one that expires last.
    oldest: u32,
    newest: u32,
    leased: usize,
    next_serial: u64,
    /// How long a lease lasts.
    lease: Duration,
    /// When the last call came, where gaps count.
    called: Option<Instant>,
    /// Until when no lease ends.
    spared_until: Option<Instant>,
    /// Whether a message was taken or renewed since leases were spared last: a lease without renewals must end.
    may_spare: bool,
}

#[derive(Debug)]
struct Place {
    serial: u64,
    expires: Instant,
    body: Bytes,
    older: u32,
    newer: u32,
}

impl QueueState {
    /// An empty queue. Its leases last `lease` and are numbered from `first_serial`, which is not 0.
    pub(super) const fn new(lease: Duration, first_serial: u64) -> Self {
        Self {
            ready: VecDeque::new(),
            table: Vec::new(),
            free: END,
            oldest: END,
            newest: END,
            leased: 0,
            next_serial: first_serial,
            lease,
            called: None,
            spared_until: None,
            may_spare: false,
        }
    }

    /// Messages that can be taken. Call [`expire`](Self::expire) first for the count as of now.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Messages that are leased. Call [`expire`](Self::expire) first for the count as of now.
    pub(super) const fn leased(&self) -> usize {
        self.leased
    }

    /// When the next lease expires if it is not renewed.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let first = self.table.get(self.oldest as usize)?.expires;
        Some(self.spared_until.map_or(first, |spared| spared.max(first)))
    }

    /// A call comes. Leases that are held are renewed at least once in a third of their time, so a gap of more than half
    /// of it means that no taker could: they get a third to do so.
    pub(super) fn note_call(&mut self, now: Instant) {
        let before = self.called.replace(now).unwrap_or(now);
        // A process that was stopped (Ctrl-Z, a debugger, a suspended machine) finds all its leases over when it goes on.
        // Renewals come at least every third of a lease (`Leases::tick`), so half a lease without any call means that
        // the process did not run.
        let gap = now.saturating_duration_since(before) > self.lease / 2;
        if gap && self.leased > 0 && std::mem::take(&mut self.may_spare) {
            // Two ticks of the keeper (a sixth each): its next round renews everything that is held.
            self.spared_until = now.checked_add(self.lease / 3);
        }
    }

    /// Stores a message behind all others.
    pub(super) fn put(&mut self, body: Bytes) {
        self.ready.push_back(body);
    }

    /// Leases up to `max` messages from the front.
    pub(super) fn take(&mut self, now: Instant, max: usize) -> Vec<(LeaseKey, Bytes)> {
        self.expire(now);
        // `max` comes from the caller and may be `usize::MAX`: it bounds nothing that is allocated.
        let count = max.min(self.ready.len());
        let expires = self.expiry(now);
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            let Some(body) = self.ready.pop_front() else {
                break;
            };
            // The message stays here under its lease, and a second handle of the same bytes goes out.
            taken.push((self.insert(body.clone(), expires), body));
        }
        if self.ready.is_empty() && self.ready.capacity() > KEPT_CAPACITY {
            // A backlog of a million messages would keep its buffer for the life of the pool.
            self.ready = VecDeque::new();
        }
        taken
    }

    /// Renews a lease. False when it is lost.
    pub(super) fn extend(&mut self, now: Instant, key: LeaseKey) -> bool {
        self.expire(now);
        if !self.holds(key) {
            return false;
        }
        let expires = self.expiry(now);
        self.may_spare = true;
        self.unlink(key.place);
        self.table[key.place as usize].expires = expires;
        self.link(key.place);
        true
    }

    /// Removes a message for good. False when its lease is lost.
    pub(super) fn ack(&mut self, now: Instant, key: LeaseKey) -> bool {
        self.expire(now);
        self.holds(key) && {
            drop(self.remove(key.place));
            true
        }
    }

    /// Puts a message back at the front. False when its lease is lost.
    pub(super) fn release(&mut self, now: Instant, key: LeaseKey) -> bool {
        self.expire(now);
        self.holds(key) && {
            let body = self.remove(key.place);
            self.ready.push_front(body);
            true
        }
    }

    /// Ends the leases whose time is over; their messages go to the front, the longest leased first.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.next_expiry().is_none_or(|first| now < first) {
            return;
        }
        let mut last = self.oldest;
        while let Some(next) = self.table.get(self.table[last as usize].newer as usize) {
            if now < next.expires {
                break;
            }
            last = self.table[last as usize].newer;
        }
        // Backwards along the chain, each to the front: the longest leased ends up first.
        while last != END {
            let older = self.table[last as usize].older;
            let body = self.remove(last);
            self.ready.push_front(body);
            last = older;
        }
    }

    fn expiry(&self, now: Instant) -> Instant {
        after(now, self.lease)
    }

    fn holds(&self, key: LeaseKey) -> bool {
        let place = self.table.get(key.place as usize);
        key.serial != FREE && place.is_some_and(|place| place.serial == key.serial)
    }

    /// Gives a message a lease: a place in the table, and the end of the chain.
    fn insert(&mut self, body: Bytes, expires: Instant) -> LeaseKey {
        // A place is used again, a serial never: the key of a lost lease must not act on the lease that has its place now.
        let serial = self.next_serial;
        self.next_serial += 1;
        self.may_spare = true;
        let leased = Place {
            serial,
            expires,
            body,
            older: END,
            newer: END,
        };
        let place = if let Some(free) = self.table.get_mut(self.free as usize) {
            std::mem::replace(&mut self.free, std::mem::replace(free, leased).newer)
        } else {
            self.table.push(leased);
            (self.table.len() - 1) as u32
        };
        self.link(place);
        self.leased += 1;
        LeaseKey { serial, place }
    }

    /// Frees a place and gives its message.
    fn remove(&mut self, place: u32) -> Bytes {
        // Before the place is marked free: the links are read from it, and `newer` is used for the free list then.
        self.unlink(place);
        self.leased -= 1;
        let freed = &mut self.table[place as usize];
        freed.serial = FREE;
        freed.newer = self.free;
        self.free = place;
        std::mem::take(&mut freed.body)
    }

    /// Puts a lease at the end of the chain, where the last to expire belongs.
    fn link(&mut self, place: u32) {
        let older = std::mem::replace(&mut self.newest, place);
        match self.table.get_mut(older as usize) {
            Some(beside) => beside.newer = place,
            None => self.oldest = place,
        }
        let own = &mut self.table[place as usize];
        own.older = older;
        own.newer = END;
    }

    /// Takes a lease out of the chain.
    fn unlink(&mut self, place: u32) {
        let Place { older, newer, .. } = self.table[place as usize];
        match self.table.get_mut(older as usize) {
            Some(beside) => beside.newer = newer,
            None => self.oldest = newer,
        }
        match self.table.get_mut(newer as usize) {
            Some(beside) => beside.older = older,
            None => self.newest = older,
        }
    }
}

#[cfg(test)]
mod tests;
