//! Repeats passes over a type until all of it was seen, and changes samples where the type refuses.

use std::any::type_name;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ShapeError;
use super::model::SlotId;
use super::tracer::{Obstacle, Point, Probe, TraceError, Tracer};
use crate::codec::{self, CodecError};

/// Choice points before a refusal that are varied together: a check over several fields refuses at the last.
// Three points at once solve a check over three fields, such as year, month and day. A fourth would multiply the passes
// by up to 81 samples, far past `MAX_TRIES`.
const WINDOW: usize = 3;

/// Most samples that are tried against one refusal.
// Two integers are varied in full (19 x 19 = 361), three nearly (6,859), two texts not quite (81 x 81 = 6,561).
const MAX_TRIES: u32 = 5_000;

/// Passes in a row that may nest too deep without anything new having been built.
const MAX_DIVES: u32 = 64;

/// Passes in a row that may learn nothing although something is left: what none of them reaches stays a blank.
const MAX_IDLE: u32 = 32;

/// Traces one type and gives its text.
pub(super) fn run<T: Serialize + DeserializeOwned>() -> Result<String, ShapeError> {
    let mut search = Search::<T>::new();
    loop {
        search.tracer.begin_pass(type_name::<T>());
        let probe = Probe {
            tracer: &mut search.tracer,
            slot: search.root,
        };
        match T::deserialize(probe) {
            // An obstacle stands even if the type went on without the answer.
            Ok(value) if search.tracer.obstacle.is_none() => {
                // At every pass that went through and not only at the last: each builds other variants.
                check_round_trip(&value)?;
                if search.settle() {
                    return Ok(search.tracer.model.text(search.root));
                }
            }
            Ok(_) => search.recover("")?,
            Err(TraceError(words)) => search.recover(&words)?,
        }
    }
}

/// A type that writes what it does not read would decode to garbage, or not at all.
fn check_round_trip<T: Serialize + DeserializeOwned>(value: &T) -> Result<(), ShapeError> {
    // A sample that cannot be written proves nothing: it may be beyond what the program ever makes.
    let Ok(bytes) = codec::encode(value) else {
        return Ok(());
    };
    codec::decode::<T>(&bytes)
        .map(drop)
        .map_err(|error: CodecError| ShapeError::one_sided(type_name::<T>(), &error.to_string()))
}

struct Search<T> {
    tracer: Tracer,
    root: SlotId,
    /// What was refused first at the furthest place that a pass reached.
    refusal: Option<ShapeError>,
    /// Length of that pass's trail.
    furthest: usize,
    /// Samples tried since then.
    tries: u32,
    dives: u32,
    /// Variants built when the last pass began.
    built: usize,
    /// What was known after the last pass that went through.
    size: usize,
    traced: PhantomData<fn() -> T>,
}

impl<T> Search<T> {
    fn new() -> Self {
        let mut tracer = Tracer::default();
        let root = tracer.model.add_slot();
        Self {
            tracer,
            root,
            refusal: None,
            furthest: 0,
            tries: 0,
            dives: 0,
            built: 0,
            size: 0,
            traced: PhantomData,
        }
    }

    /// Keeps the samples of a pass that went through. True when it had nothing left to look for.
    fn settle(&mut self) -> bool {
        for point in self.tracer.trail.clone() {
            let choice = self.choice(point);
            // What was taken once is offered first from now on: later passes do not repeat the search.
            choice.start = (choice.start + choice.tries) % point.samples.max(1);
            choice.tries = 0;
        }
        self.advance();
        self.tracer.model.update_pending();
        let size = self.tracer.model.size();
        self.tracer.idle = if size > self.size {
            0
        } else {
            self.tracer.idle + 1
        };
        self.size = size;
        !self.tracer.explored || self.tracer.idle > MAX_IDLE
    }

    /// A pass had a new result: earlier refusals are past.
    fn advance(&mut self) {
        self.refusal = None;
        self.furthest = 0;
        self.tries = 0;
        self.dives = 0;
        self.built = self.tracer.model.built();
    }

    /// Prepares another pass after one that failed, or gives up.
    fn recover(&mut self, words: &str) -> Result<(), ShapeError> {
        let progress = self.tracer.model.built() > self.built;
        if progress {
            self.advance();
        }
        match self.tracer.obstacle {
            Some(Obstacle::SelfDescribing(what)) => {
                let (type_name, place) = self.place();
                return Err(ShapeError::self_describing(type_name, &place, what));
            }
            Some(Obstacle::TooLong) => {
                let (type_name, place) = self.place();
                let why = "it has too many parts";
                return Err(ShapeError::boundless(type_name, &place, why));
            }
            Some(Obstacle::TooDeep) => {
                self.dives += 1;
                if self.dives > MAX_DIVES {
                    let why = "no value of it has an end";
                    return Err(ShapeError::boundless(type_name::<T>(), "", why));
                }
                return Ok(());
            }
            // The variant is marked: the next pass takes another.
            Some(Obstacle::Alias) => return Ok(()),
            None => {}
        }
        let reached = self.tracer.trail.len();
        // The refusal at the furthest place is the one to report: earlier ones come from samples that other passes got
        // past.
        if self.refusal.is_none() || reached > self.furthest {
            let (type_name, place) = self.place();
            self.refusal = Some(ShapeError::refused(type_name, &place, words));
            self.furthest = reached;
            self.tries = 0;
        }
        self.tries += 1;
        if self.tries < MAX_TRIES && self.next_samples() {
            Ok(())
        } else {
            Err(self.refusal.take().unwrap_or_else(|| {
                ShapeError::refused(type_name::<T>(), "", "it refused without a message")
            }))
        }
    }

    /// Moves on like an odometer: the last choice point of the trail first, and when it has come round, the one before.
    /// False when all within the window came round.
    fn next_samples(&mut self) -> bool {
        let floor = self.furthest.saturating_sub(WINDOW);
        while let Some(point) = self.tracer.trail.pop() {
            if self.tracer.trail.len() < floor {
                return false;
            }
            let choice = self.choice(point);
            choice.tries += 1;
            if choice.tries < point.samples {
                return true;
            }
            choice.tries = 0;
        }
        false
    }

    fn choice(&mut self, point: Point) -> &mut super::model::Choice {
        let format = self.tracer.model.format_mut(point.slot, point.format);
        &mut format.choices[usize::from(point.outside)]
    }

    /// The type at which the pass stopped, and the way to it, such as ` at day.start`.
    fn place(&self) -> (&'static str, String) {
        let place = &self.tracer.place;
        let type_name = place.last().map_or("", |(_, name)| name);
        let labels: Vec<&str> = place.iter().map(|(label, _)| *label).collect();
        let labels: Vec<&str> = labels.into_iter().filter(|l| !l.is_empty()).collect();
        let way = if labels.is_empty() {
            String::new()
        } else {
            format!(" (at {})", labels.join("."))
        };
        (type_name, way)
    }
}
