//! The state against a model that is too plain to be wrong: two lists, searched from end to end.

use proptest::prelude::*;

use super::*;

const LEASE: Duration = Duration::from_secs(10);

/// What the queue should be: messages in order of delivery, and leases in order of renewal.
#[derive(Default)]
struct Model {
    ready: Vec<Bytes>,
    leases: Vec<(LeaseKey, Bytes, Instant)>,
}

impl Model {
    fn expire(&mut self, now: Instant) {
        let leases = std::mem::take(&mut self.leases);
        let (live, ended): (Vec<_>, Vec<_>) = leases
            .into_iter()
            .partition(|(_, _, expires)| now < *expires);
        self.leases = live;
        self.ready
            .splice(0..0, ended.into_iter().map(|lease| lease.1));
    }

    fn end(&mut self, key: LeaseKey) -> Option<Bytes> {
        let at = self.leases.iter().position(|lease| lease.0 == key)?;
        Some(self.leases.remove(at).1)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Take(usize),
    Extend(prop::sample::Index),
    Ack(prop::sample::Index),
    Release(prop::sample::Index),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let any_lease = any::<prop::sample::Index>;
    prop_oneof![
        4 => any::<u8>().prop_map(Step::Put),
        4 => (0_usize..4).prop_map(Step::Take),
        2 => any_lease().prop_map(Step::Extend),
        2 => any_lease().prop_map(Step::Ack),
        2 => any_lease().prop_map(Step::Release),
        2 => (0_u64..12).prop_map(Step::Pass),
    ]
}

/// Both machines, the time, and every lease that was ever given.
struct Pair {
    state: QueueState,
    model: Model,
    now: Instant,
    given: Vec<LeaseKey>,
}

impl Pair {
    fn new() -> Self {
        Self {
            state: QueueState::new(LEASE, 1),
            model: Model::default(),
            now: Instant::now(),
            given: Vec::new(),
        }
    }

    fn run(&mut self, step: &Step) {
        self.model.expire(self.now);
        match step {
            Step::Put(byte) => {
                let body = Bytes::from(vec![*byte]);
                self.model.ready.push(body.clone());
                self.state.put(body);
            }
            Step::Take(max) => self.take(*max),
            Step::Pass(seconds) => self.now += Duration::from_secs(*seconds),
            Step::Extend(index) => self.answer(index, |pair, key| {
                let expected = pair.model.end(key).map(|body| {
                    pair.model.leases.push((key, body, pair.now + LEASE));
                });
                (pair.state.extend(pair.now, key), expected.is_some())
            }),
            Step::Ack(index) => self.answer(index, |pair, key| {
                (pair.state.ack(pair.now, key), pair.model.end(key).is_some())
            }),
            Step::Release(index) => self.answer(index, |pair, key| {
                let expected = pair
                    .model
                    .end(key)
                    .map(|body| pair.model.ready.insert(0, body));
                (pair.state.release(pair.now, key), expected.is_some())
            }),
        }
    }

    fn take(&mut self, max: usize) {
        let count = max.min(self.model.ready.len());
        let expected: Vec<_> = self.model.ready.drain(..count).collect();
        let taken = self.state.take(self.now, max);
        let bodies: Vec<_> = taken.iter().map(|(_, body)| body.clone()).collect();
        assert_eq!(bodies, expected);
        for (key, body) in taken {
            assert!(!self.given.contains(&key), "{key:?} was given twice");
            self.given.push(key);
            self.model.leases.push((key, body, self.now + LEASE));
        }
    }

    fn answer(
        &mut self,
        index: &prop::sample::Index,
        verb: impl Fn(&mut Self, LeaseKey) -> (bool, bool),
    ) {
        if !self.given.is_empty() {
            let key = *index.get(&self.given);
            let (answer, expected) = verb(self, key);
            assert_eq!(answer, expected, "{key:?}");
        }
    }

    fn compare(&mut self) {
        self.model.expire(self.now);
        self.state.expire(self.now);
        assert_eq!(self.state.ready, self.model.ready);
        assert_eq!(self.state.leased(), self.model.leases.len());
        let first = self.model.leases.first().map(|lease| lease.2);
        assert_eq!(self.state.next_expiry(), first);
    }
}

proptest! {
    #[test]
    fn does_what_the_model_does(steps in prop::collection::vec(step(), 1..120)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.run(step);
            pair.compare();
        }
    }
}

#[test]
fn places_are_used_again_and_their_old_leases_stay_lost() {
    let mut state = QueueState::new(LEASE, 1);
    let now = Instant::now();
    let mut old = Vec::new();
    for round in 0..1_000_u32 {
        state.put(Bytes::from(round.to_le_bytes().to_vec()));
        let (key, _) = state.take(now, 1)[0].clone();
        for lost in &old {
            assert!(!state.ack(now, *lost));
        }
        assert!(state.ack(now, key));
        old = vec![key];
    }
    assert_eq!(state.table.len(), 1);
}

#[test]
fn an_emptied_backlog_gives_its_memory_back() {
    let mut state = QueueState::new(LEASE, 1);
    let now = Instant::now();
    for _ in 0..=KEPT_CAPACITY {
        state.put(Bytes::new());
    }
    assert_eq!(state.take(now, usize::MAX).len(), KEPT_CAPACITY + 1);
    assert_eq!(state.ready.capacity(), 0);
}

#[test]
fn a_free_place_is_no_lease() {
    let mut state = QueueState::new(LEASE, 1);
    let now = Instant::now();
    state.put(Bytes::new());
    let (key, _) = state.take(now, 1)[0].clone();
    assert!(state.ack(now, key));
    let forged = LeaseKey {
        serial: FREE,
        place: key.place,
    };
    assert!(!state.ack(now, forged));
    assert_eq!(state.leased(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_leases_can_be_renewed_before_they_end() {
    const LEASE: Duration = Duration::from_secs(6);
    let mut state = QueueState::new(LEASE, 1);
    let mut now = Instant::now();
    state.note_call(now);
    state.put(Bytes::from_static(b"a"));
    state.put(Bytes::from_static(b"b"));
    let taken = state.take(now, 2);
    // The process is stopped for longer than the leases.
    now += 10 * LEASE;
    state.note_call(now);
    assert!(state.take(now, 2).is_empty(), "renewals go first");
    assert_eq!(state.next_expiry(), Some(now + LEASE / 3));
    assert!(state.extend(now, taken[0].0));
    now += LEASE / 3;
    state.note_call(now);
    let again: Vec<_> = state
        .take(now, 2)
        .into_iter()
        .map(|(_, body)| body)
        .collect();
    assert_eq!(again, ["b"], "what was not renewed comes again");
    // No taker renews any more, and no call comes: leases are spared once.
    for _ in 0..2 {
        now += LEASE;
        state.note_call(now);
        state.expire(now);
    }
    assert_eq!((state.ready(), state.leased()), (2, 0));
}
