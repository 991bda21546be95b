//! Tests of blocks that are used again.

use super::*;

const MIB: usize = 1 << 20;

#[test]
fn the_block_freed_last_is_used_first_if_it_fits() {
    let mut free = Free::new();
    for (size, first) in [(MIB, 1), (MIB, 2), (4 * MIB, 3)] {
        let mut block = Vec::with_capacity(size);
        block.push(first);
        assert!(free.keep(block).is_empty());
    }
    assert_eq!(free.bytes, 6 * MIB);
    let block = free.take(MIB - 5).unwrap();
    assert_eq!((block.len(), block.capacity()), (0, MIB));
    assert!(
        free.take(MIB + 1).is_none(),
        "4 MiB for little more than one"
    );
    assert!(free.take(3 * MIB).is_none(), "4 MiB for three");
    assert_eq!(free.take(3 * MIB + MIB / 2).unwrap().capacity(), 4 * MIB);
    assert!(free.take(MIB).is_some());
    assert_eq!((free.bytes, free.blocks.len()), (0, 0));
}

#[test]
fn what_is_kept_is_bounded_and_the_oldest_goes() {
    let mut free = Free::new();
    let mut freed = 0;
    for size in [MIB, 2 * MIB, 8 * MIB, 8 * MIB, KEPT] {
        freed += free.keep(Vec::with_capacity(size)).len();
        assert!(free.bytes <= KEPT);
    }
    assert_eq!((freed, free.blocks.len(), free.bytes), (4, 1, KEPT));
}

#[test]
fn a_shared_block_is_read_like_any_bytes_and_comes_back() {
    // No other test takes from it.
    static OWN: Mutex<Free> = Mutex::new(Free::new());
    let size = 3 * MIB + 7;
    let mut bytes = take(&OWN, size);
    let (place, capacity) = (bytes.as_ptr(), bytes.capacity());
    assert_eq!(bytes.capacity() % GRAIN, 0);
    bytes.resize(size, 5);
    let shared = share_until_freed(bytes, &OWN);
    let part = shared.slice(MIB..);
    drop(shared);
    assert!(OWN.lock().unwrap().blocks.is_empty(), "a part is in use");
    assert!(part.len() == size - MIB && part.iter().all(|byte| *byte == 5));
    drop(part);
    // An allocator may give a fresh block at the same place, but it would have the smaller capacity.
    let again = take(&OWN, size - MIB / 2);
    assert_eq!((again.as_ptr(), again.capacity()), (place, capacity));
    let other = take(&OWN, size);
    assert_ne!(other.as_ptr(), place, "it is in use");
    let small = share_until_freed(vec![1; 10], &OWN);
    assert_eq!(&small[..], [1; 10]);
    drop(small);
    assert!(OWN.lock().unwrap().blocks.is_empty());
}
