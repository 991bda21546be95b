//! The state of a trace: what types requested so far, which samples were given, and why a pass stopped.

use std::any::type_name;
use std::fmt;

use super::model::{Head, Model, SlotId, Variant};

/// Deepest nesting of one value. A type that needs more has no end, or nearly none.
// Half a MiB of the tracing thread's stack (`TRACE_STACK`) for each level.
const MAX_DEPTH: u32 = 128;

/// Nesting from which the cheapest known variant is preferred to one that was never built, while that gets further.
const DEEP: u32 = 32;

/// Most questions of one trace, over all passes.
pub(super) const MAX_STEPS: u64 = 5_000_000;

/// A type's refusal, with its own text.
#[derive(Debug)]
pub(super) struct TraceError(pub(super) String);

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TraceError {}

impl serde::de::Error for TraceError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// A place where another sample could have been given: position, format, and which of its two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) slot: SlotId,
    pub(super) format: usize,
    pub(super) outside: bool,
    /// Samples in the list.
    pub(super) samples: usize,
}

/// Why another sample does not help a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The type requests this, which needs a self-describing encoding.
    SelfDescribing(&'static str),
    /// The value nests beyond the limit; other variants may end it.
    TooDeep,
    /// The trace took too many steps.
    TooLong,
    /// The index of an alias was tried; the next pass leaves it out.
    Alias,
}

/// What a pass needs and leaves behind.
#[derive(Debug, Default)]
pub(super) struct Tracer {
    pub(super) model: Model,
    /// The number of this pass, from 1.
    pub(super) pass: u32,
    /// Choice points of this pass, in the order in which they were met.
    pub(super) trail: Vec<Point>,
    /// Where this pass is: labels and types, outermost first. After an error it still holds the place of the error.
    pub(super) place: Vec<(&'static str, &'static str)>,
    pub(super) obstacle: Option<Obstacle>,
    /// Whether this pass looked into something for the sake of a variant.
    pub(super) explored: bool,
    pub(super) steps: u64,
    /// Passes in a row that went through without a new result: they make this one look elsewhere.
    pub(super) idle: u32,
    pub(super) depth: u32,
    /// Turns the wheel of variants that are all under way.
    turn: usize,
}

impl Tracer {
    /// Clears the state of the last pass, and keeps the model.
    pub(super) fn begin_pass(&mut self, type_name: &'static str) {
        self.pass += 1;
        // The model stays: the next pass need not look where an earlier one has a result.
        self.trail.clear();
        self.place.clear();
        self.place.push(("", type_name));
        self.obstacle = None;
        self.explored = false;
        self.depth = 0;
    }

    pub(super) fn step(&mut self) -> Result<(), TraceError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(self.stop(Obstacle::TooLong));
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, obstacle: Obstacle) -> TraceError {
        // Only the first counts: a type may turn this error into another and go on.
        self.obstacle.get_or_insert(obstacle);
        TraceError("the trace stopped".to_owned())
    }

    pub(super) fn sink(&mut self) -> Result<(), TraceError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.stop(Obstacle::TooDeep));
        }
        Ok(())
    }

    /// Notes a choice point, and returns which of `samples` to give.
    fn choose(&mut self, slot: SlotId, format: usize, outside: bool, samples: usize) -> usize {
        let pass = self.pass;
        let choice = &mut self.model.format_mut(slot, format).choices[usize::from(outside)];
        // The elements of a sequence are one point: they all get the same.
        if choice.pass != pass {
            choice.pass = pass;
            self.trail.push(Point {
                slot,
                format,
                outside,
                samples,
            });
        }
        // No list is empty; with `max` an empty one would not divide by zero either.
        (choice.start + choice.tries) % samples.max(1)
    }
}

impl Tracer {
    /// Which variant to build: one that was never built; one that leads to such a one; the cheapest; any.
    pub(super) fn pick(&mut self, id: usize) -> Option<usize> {
        let (pass, deep) = (self.pass, self.idle == 0 && self.depth > DEEP);
        // Collected before the variants are borrowed: both questions read the model.
        let bodies: Vec<SlotId> = self.model.variants_mut(id).iter().map(|v| v.body).collect();
        let leads: Vec<bool> = bodies.iter().map(|b| self.model.is_pending(*b)).collect();
        let variants = self.model.variants_mut(id);
        let fresh = |v: &Variant| !v.absent && v.pass != pass;
        let unbuilt = || variants.iter().position(|v| fresh(v) && v.cost.is_none());
        let leading = || {
            let count = variants.len();
            let from = self.idle as usize % count.max(1);
            let mut around = (from..count).chain(0..from);
            around.find(|i| fresh(&variants[*i]) && variants[*i].cost.is_some() && leads[*i])
        };
        let cheapest = || {
            let built = variants.iter().enumerate();
            let built = built.filter_map(|(index, v)| Some((v.cost?, index)));
            built.min().map(|(_, index)| index)
        };
        let curious = || unbuilt().or_else(leading);
        let picked = if deep {
            cheapest().or_else(curious)
        } else {
            curious().or_else(cheapest)
        };
        let picked = picked.or_else(|| {
            // All are under way, and none is known to end: take turns, so that one that ends is found.
            self.turn += 1;
            let present = variants.iter().enumerate().filter(|(_, v)| !v.absent);
            let present: Vec<usize> = present.map(|(index, _)| index).collect();
            (!present.is_empty()).then(|| present[self.turn % present.len()])
        })?;
        let variant = &mut variants[picked];
        if variant.pass != pass && (variant.cost.is_none() || leads[picked]) {
            self.explored = true;
        }
        // Marked under way: a recursive type must not take the same variant again in this pass while another is left.
        variant.pass = pass;
        Some(picked)
    }
}

/// Deserializes the value at one position.
pub(super) struct Probe<'t> {
    pub(super) tracer: &'t mut Tracer,
    pub(super) slot: SlotId,
}

impl Probe<'_> {
    /// A value without parts: which sample to give.
    pub(super) fn leaf(&mut self, name: &'static str, samples: usize) -> Result<usize, TraceError> {
        self.tracer.step()?;
        let format = self.tracer.model.ask(self.slot, Head::Leaf(name));
        Ok(self.tracer.choose(self.slot, format, false, samples))
    }

    /// A value with parts that may be left out: looks inside once a pass, and only while a new result is possible.
    /// Gives the format's index, the sample's index, and whether the inside is left out.
    pub(super) fn optional(
        &mut self,
        head: Head,
        inside: usize,
        outside: usize,
    ) -> Result<(usize, usize, bool), TraceError> {
        let tracer = &mut *self.tracer;
        tracer.step()?;
        tracer.sink()?;
        let index = tracer.model.ask(self.slot, head);
        let format = tracer.model.format(self.slot, index);
        let unknown = !format.seen || format.inside.iter().any(|s| tracer.model.is_pending(*s));
        let leave_out = !unknown || format.pass == tracer.pass;
        if !leave_out {
            tracer.explored = true;
            let pass = tracer.pass;
            tracer.model.format_mut(self.slot, index).pass = pass;
        }
        let samples = if leave_out { outside } else { inside };
        let sample = tracer.choose(self.slot, index, leave_out, samples);
        Ok((index, sample, leave_out))
    }

    /// Marks the inside as read to its end.
    pub(super) fn surface(tracer: &mut Tracer, slot: SlotId, format: usize, looked: bool) {
        tracer.depth -= 1;
        if looked {
            tracer.model.format_mut(slot, format).seen = true;
        }
    }

    /// Turns to the body of a named struct.
    pub(super) fn named<V>(&mut self, name: &'static str, head: Head) -> Result<(), TraceError> {
        let tracer = &mut *self.tracer;
        tracer.step()?;
        let id = tracer.model.container(type_name::<V>(), name, head, None);
        tracer.model.ask(self.slot, Head::Named(id));
        self.slot = tracer.model.struct_body(id);
        Ok(())
    }

    pub(super) fn refuse<T>(self, what: &'static str) -> Result<T, TraceError> {
        Err(self.tracer.stop(Obstacle::SelfDescribing(what)))
    }
}
