//! How the workers of a run are shared among its classes: pure.

use std::collections::BTreeMap;

use podpool_core::broker::ClassId;

/// How many workers each class gets, of `most` in all, where `useful` holds how many each could use. Each class with
/// work gets one, the lowest classes first where there are more classes than workers; each further worker goes to the
/// class that lacks most.
pub(crate) fn shares(useful: &BTreeMap<ClassId, u32>, most: u32) -> BTreeMap<ClassId, u32> {
    let total: u64 = useful.values().map(|workers| u64::from(*workers)).sum();
    if total <= u64::from(most) {
        return useful.clone();
    }
    let mut shares: BTreeMap<ClassId, u32> = BTreeMap::new();
    let mut left = most;
    for (class, _) in useful.iter().filter(|(_, workers)| **workers > 0) {
        let first = left.min(1);
        shares.insert(*class, first);
        left -= first;
    }
    // More is useful than there is, so some class lacks a worker as long as one is left. The loop therefore takes
    // `left` turns, each over all classes; both numbers are small.
    while left > 0 {
        // No underflow: a class that lacks nothing is not the maximum while another class lacks something.
        let lacks = |(class, share): &(&ClassId, &mut u32)| useful[class] - **share;
        let Some((_, share)) = shares.iter_mut().max_by_key(lacks) else {
            break;
        };
        *share += 1;
        left -= 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(useful: &[u32], most: u32) -> Vec<u32> {
        let useful = (0..).map(ClassId).zip(useful.iter().copied()).collect();
        let shares = shares(&useful, most);
        let of = |class: &ClassId| shares.get(class).copied().unwrap_or_default();
        useful.keys().map(of).collect()
    }

    #[test]
    fn one_class_gets_what_it_can_use_up_to_the_bound() {
        assert_eq!(shared(&[3], 10), [3]);
        assert_eq!(shared(&[30], 10), [10]);
        assert_eq!(shared(&[0], 10), [0]);
        assert_eq!(shared(&[u32::MAX], 10_000), [10_000]);
    }

    #[test]
    fn each_class_with_work_gets_one_worker_and_the_class_that_lacks_most_gets_the_next() {
        assert_eq!(shared(&[2, 3], 10), [2, 3], "there is enough");
        assert_eq!(shared(&[100, 1, 0], 10), [9, 1, 0]);
        assert_eq!(shared(&[100, 100], 10), [5, 5]);
        assert_eq!(shared(&[1, 1, 1], 2), [1, 1, 0], "the lowest first");
        assert_eq!(shared(&[5, 5], 0), [0, 0]);
    }

    #[test]
    fn never_more_than_the_bound_and_never_more_than_is_useful() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let useful: Vec<u32> = (0..rng.usize(1..5)).map(|_| rng.u32(0..40)).collect();
            let most = rng.u32(0..60);
            let shared = shared(&useful, most);
            let total: u32 = shared.iter().sum();
            assert_eq!(total, most.min(useful.iter().sum()), "{useful:?} {most}");
            assert!(
                shared
                    .iter()
                    .zip(&useful)
                    .all(|(share, most)| share <= most)
            );
        }
    }
}
