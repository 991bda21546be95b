//! Cutting a call into requests that Pub/Sub accepts: ranges of messages, and ranges of lease names.

use std::ops::Range;

/// Most messages, or lease names, in one request.
// Pub/Sub refuses a publish with more messages. Lease names have a limit in bytes alone, and share this one.
// <https://cloud.google.com/pubsub/quotas>
const MOST: usize = 1_000;
/// Most bytes of lease names in one request. Pub/Sub refuses 512 KiB; the subscription's name travels too.
const NAME_BYTES: usize = (512 << 10) - 4_096;
/// Bytes that a lease name takes besides itself.
// Protobuf writes a tag of one byte and the length as a varint: two bytes up to 16 KiB, three up to 2 MiB.
const NAME_FRAME: usize = 5;
/// Most bytes of messages that travel together; a larger message goes alone. Several requests are under way at
/// once, so that larger ones would save nothing and lose more when they fail.
// Two messages of the largest batch (1 MiB). It is far below the 10 MB of a publish request, so the attributes of a run
// on given names, about 100 bytes a message, need no place in this sum.
const TOGETHER: usize = 2 << 20;
/// Bytes that a message takes besides its body, in a request.
const MESSAGE_FRAME: usize = 16;

/// Cuts messages of these sizes into requests. A message larger than `limit` is in none of them.
pub(super) fn messages(sizes: impl Iterator<Item = usize>, limit: usize) -> Vec<Range<usize>> {
    let mut cut = Cut::new(TOGETHER);
    for (at, size) in sizes.enumerate() {
        if size > limit {
            cut.skip(at);
        } else {
            cut.add(at, size + MESSAGE_FRAME);
        }
    }
    cut.finish()
}

/// Cuts lease names of these sizes into requests.
pub(super) fn leases(sizes: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut cut = Cut::new(NAME_BYTES);
    for (at, size) in sizes.enumerate() {
        cut.add(at, size + NAME_FRAME);
    }
    cut.finish()
}

struct Cut {
    most_bytes: usize,
    done: Vec<Range<usize>>,
    open: Range<usize>,
    bytes: usize,
}

impl Cut {
    fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            done: Vec::with_capacity(1),
            open: 0..0,
            bytes: 0,
        }
    }

    fn add(&mut self, at: usize, bytes: usize) {
        if self.open.len() == MOST || self.bytes + bytes > self.most_bytes {
            self.close(at);
        }
        self.open.end = at + 1;
        self.bytes += bytes;
    }

    fn skip(&mut self, at: usize) {
        self.close(at + 1);
    }

    fn close(&mut self, next: usize) {
        if !self.open.is_empty() {
            self.done.push(self.open.clone());
        }
        self.open = next..next;
        self.bytes = 0;
    }

    fn finish(mut self) -> Vec<Range<usize>> {
        self.close(0);
        self.done
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_n;

    use super::*;

    fn only(range: Range<usize>) -> Vec<Range<usize>> {
        std::iter::once(range).collect()
    }

    #[test]
    fn nothing_makes_no_request() {
        assert!(messages(std::iter::empty(), 10).is_empty());
        assert!(leases(std::iter::empty()).is_empty());
    }

    #[test]
    fn a_request_holds_a_thousand() {
        assert_eq!(leases(repeat_n(20, 1_000)), only(0..1_000));
        assert_eq!(
            leases(repeat_n(20, 2_001)),
            [0..1_000, 1_000..2_000, 2_000..2_001]
        );
        assert_eq!(
            messages(repeat_n(0, 1_001), 10),
            [0..1_000, 1_000..1_001],
            "empty messages count too"
        );
    }

    #[test]
    fn lease_names_stay_under_half_a_mebibyte() {
        let ranges = leases(repeat_n(2_000, 1_000));
        assert_eq!(ranges.first(), Some(&(0..259)));
        assert_eq!(ranges.last().map(|range| range.end), Some(1_000));
        for range in ranges {
            // Tag and length of each name, as they are encoded.
            assert!(range.len() * 2_003 + 300 < 512 << 10);
        }
    }

    #[test]
    fn large_messages_go_alone_and_too_large_ones_do_not_go() {
        let sizes = [10, 3 << 20, 10, 10, 99 << 20, 10];
        assert_eq!(
            messages(sizes.into_iter(), 10 << 20),
            [0..1, 1..2, 2..4, 5..6]
        );
        assert!(messages([11].into_iter(), 10).is_empty());
        assert_eq!(messages([11, 10, 11].into_iter(), 10), only(1..2));
    }

    #[test]
    fn every_message_is_in_exactly_one_request() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100 {
            let sizes: Vec<_> = (0..random.usize(..3_000))
                .map(|_| random.usize(..4 << 20) >> random.usize(..20))
                .collect();
            let covered = messages(sizes.iter().copied(), 3 << 20)
                .into_iter()
                .flatten();
            let expected = (0..sizes.len()).filter(|at| sizes[*at] <= 3 << 20);
            assert!(covered.eq(expected));
        }
    }
}
