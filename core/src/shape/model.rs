//! The result of a trace so far: positions, the formats that were requested at each, and the named types.

use std::collections::HashMap;
use std::fmt::Write as _;

/// A position where a value stands: the root, a field, an element. A named type's positions exist once.
pub(super) type SlotId = usize;

/// Elements of a tuple that get a position each; the elements of a longer one (an array) share one.
// serde implements tuples of up to 16 elements and arrays of up to 32, so each of their elements has a position. A
// longer array, by another crate, would be as many positions with one answer.
const MAX_POSITIONS: usize = 64;

/// The kind of value that a type requested, without its inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Leaf(&'static str),
    Option,
    Seq,
    Map,
    Tuple(usize),
    Newtype,
    Fields(&'static [&'static str]),
    Named(usize),
}

impl Head {
    fn positions(self) -> usize {
        match self {
            Self::Leaf(_) | Self::Named(_) => 0,
            Self::Option | Self::Seq | Self::Newtype => 1,
            Self::Map => 2,
            Self::Tuple(len) if len > MAX_POSITIONS => 1,
            Self::Tuple(len) => len,
            Self::Fields(fields) => fields.len(),
        }
    }
}

/// Which sample a choice point gives: `tries` after `start`, around the list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice {
    pub(super) start: usize,
    pub(super) tries: usize,
    /// The pass that last met it.
    pub(super) pass: u32,
}

/// One format that a type requested at a position, and the positions inside it.
#[derive(Debug)]
pub(super) struct Format {
    pub(super) head: Head,
    pub(super) inside: Box<[SlotId]>,
    /// Whether the inside was read to its end at least once.
    pub(super) seen: bool,
    /// The pass that last looked inside.
    pub(super) pass: u32,
    /// For looking inside, and for leaving it out where that is possible.
    pub(super) choices: [Choice; 2],
}

/// One variant of an enum.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    pub(super) body: SlotId,
    /// Steps of the cheapest value that was built; `None` until one was.
    pub(super) cost: Option<u64>,
    /// The pass that last looked inside.
    pub(super) pass: u32,
    /// An alias in the list of names, or a variant that is never read: its index is refused.
    pub(super) absent: bool,
}

/// A struct or an enum.
#[derive(Debug)]
pub(super) struct Container {
    name: &'static str,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Struct(SlotId),
    Enum(Vec<Variant>),
}

/// What makes two containers the same type: the visitor, what it announces, and whether that is an enum.
type Key = (&'static str, &'static str, Head, bool);

/// All results of the passes. Positions hold several formats when a type reads by what it read before (an adjacently
/// tagged enum does).
#[derive(Debug, Default)]
pub(super) struct Model {
    slots: Vec<Vec<Format>>,
    containers: Vec<Container>,
    keys: HashMap<Key, usize>,
    /// By slot: whether a variant that was never built can be reached from it.
    pending: Vec<bool>,
}

impl std::hash::Hash for Head {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        if let Self::Fields(fields) = self {
            fields.hash(state);
        }
    }
}

impl Model {
    pub(super) fn add_slot(&mut self) -> SlotId {
        self.slots.push(Vec::new());
        self.slots.len() - 1
    }

    /// The index of the format with this head at this position.
    pub(super) fn ask(&mut self, slot: SlotId, head: Head) -> usize {
        // A search through a list of one element: only adjacently tagged enums give a position several formats.
        let known = self.slots[slot].iter().position(|f| f.head == head);
        known.unwrap_or_else(|| {
            let inside = (0..head.positions()).map(|_| self.add_slot()).collect();
            self.slots[slot].push(Format {
                head,
                inside,
                seen: false,
                pass: 0,
                choices: [Choice::default(); 2],
            });
            self.slots[slot].len() - 1
        })
    }

    pub(super) fn format(&self, slot: SlotId, index: usize) -> &Format {
        &self.slots[slot][index]
    }

    pub(super) fn format_mut(&mut self, slot: SlotId, index: usize) -> &mut Format {
        &mut self.slots[slot][index]
    }

    /// The container of this visitor, made at its first appearance.
    pub(super) fn container(
        &mut self,
        visitor: &'static str,
        name: &'static str,
        head: Head,
        variants: Option<&'static [&'static str]>,
    ) -> usize {
        // The visitor's type distinguishes two types of one name; the fields do, where one visitor serves several.
        let key = (visitor, name, head, variants.is_some());
        if let Some(known) = self.keys.get(&key) {
            return *known;
        }
        let body = match variants {
            None => Body::Struct(self.add_slot()),
            Some(names) => Body::Enum(names.iter().map(|name| self.variant(name)).collect()),
        };
        self.containers.push(Container { name, body });
        let id = self.containers.len() - 1;
        self.keys.insert(key, id);
        id
    }

    fn variant(&mut self, name: &'static str) -> Variant {
        Variant {
            name,
            body: self.add_slot(),
            cost: None,
            pass: 0,
            absent: false,
        }
    }

    /// The body of a struct.
    pub(super) fn struct_body(&self, id: usize) -> SlotId {
        match self.containers[id].body {
            Body::Struct(slot) => slot,
            Body::Enum(_) => unreachable!("the key of a struct holds its kind"),
        }
    }

    /// The variants of an enum.
    pub(super) fn variants_mut(&mut self, id: usize) -> &mut [Variant] {
        match &mut self.containers[id].body {
            Body::Enum(variants) => variants,
            Body::Struct(_) => unreachable!("the key of an enum holds its kind"),
        }
    }

    /// Variants that were built so far.
    pub(super) fn built(&self) -> usize {
        self.containers
            .iter()
            .filter_map(|container| match &container.body {
                Body::Enum(variants) => Some(variants.iter().filter(|v| v.cost.is_some()).count()),
                Body::Struct(_) => None,
            })
            .sum()
    }

    /// Grows with each new result of a pass.
    pub(super) fn size(&self) -> usize {
        self.slots.len() + self.slots.iter().map(Vec::len).sum::<usize>() + self.built()
    }

    pub(super) fn is_pending(&self, slot: SlotId) -> bool {
        self.pending.get(slot).copied().unwrap_or(true)
    }

    /// Finds anew from which positions something unbuilt can be reached.
    pub(super) fn update_pending(&mut self) {
        // From nothing each time: a variant that was built removes reasons, and taking them back one by one would need
        // the graph in reverse.
        let mut pending = vec![false; self.slots.len()];
        loop {
            let mut changed = false;
            // Children have higher numbers than their parents, mostly: from the end, one or two rounds suffice.
            for slot in (0..self.slots.len()).rev() {
                if !pending[slot] && self.reaches_unbuilt(slot, &pending) {
                    pending[slot] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        self.pending = pending;
    }

    fn reaches_unbuilt(&self, slot: SlotId, pending: &[bool]) -> bool {
        self.slots[slot].iter().any(|format| match format.head {
            Head::Named(id) => match &self.containers[id].body {
                Body::Struct(body) => pending[*body],
                Body::Enum(variants) => variants
                    .iter()
                    .any(|v| !v.absent && (v.cost.is_none() || pending[v.body])),
            },
            _ => format.inside.iter().any(|inner| pending[*inner]),
        })
    }

    /// The canonical text of what stands at `root`.
    pub(super) fn text(&self, root: SlotId) -> String {
        let mut text = Text {
            model: self,
            numbers: HashMap::new(),
            out: String::new(),
        };
        text.slot(root);
        text.out
    }
}

/// Writes the text. A named type is written out where it first appears and by its number afterwards,
/// so that the text depends on the types alone and recursion ends.
struct Text<'m> {
    model: &'m Model,
    numbers: HashMap<usize, usize>,
    out: String,
}

impl Text<'_> {
    fn slot(&mut self, slot: SlotId) {
        let model = self.model;
        match model.slots[slot].as_slice() {
            [] => self.out.push('_'),
            [format] => self.format(format),
            several => {
                self.out.push('<');
                for (index, format) in several.iter().enumerate() {
                    self.separate(index, '|');
                    self.format(format);
                }
                self.out.push('>');
            }
        }
    }

    fn format(&mut self, format: &Format) {
        match (format.head, &*format.inside) {
            (Head::Leaf(name), _) => self.out.push_str(name),
            (Head::Named(id), _) => self.container(id),
            (Head::Option, inside) => self.wrapped("?(", inside, ")"),
            (Head::Newtype, inside) => self.wrapped("=(", inside, ")"),
            (Head::Seq, inside) => self.wrapped("[", inside, "]"),
            (Head::Map, inside) => self.wrapped("map(", inside, ")"),
            (Head::Tuple(len), inside) if len != inside.len() => {
                // The elements of an array share a position.
                self.wrapped("(", inside, "");
                let _ = write!(self.out, ";{len})");
            }
            (Head::Tuple(_), inside) => self.wrapped("(", inside, ")"),
            (Head::Fields(names), inside) => {
                self.out.push('{');
                for (index, (name, slot)) in names.iter().zip(inside).enumerate() {
                    self.separate(index, ',');
                    self.name(name);
                    self.slot(*slot);
                }
                self.out.push('}');
            }
        }
    }

    fn wrapped(&mut self, open: &str, inside: &[SlotId], close: &str) {
        self.out.push_str(open);
        for (index, slot) in inside.iter().enumerate() {
            self.separate(index, ',');
            self.slot(*slot);
        }
        self.out.push_str(close);
    }

    fn container(&mut self, id: usize) {
        if let Some(number) = self.numbers.get(&id) {
            let _ = write!(self.out, "#{number}");
            return;
        }
        // Before the body is written, so that a recursive type finds its own number inside.
        self.numbers.insert(id, self.numbers.len());
        let container = &self.model.containers[id];
        match &container.body {
            Body::Struct(body) => {
                let _ = write!(self.out, "struct {:?}", container.name);
                self.slot(*body);
            }
            Body::Enum(variants) => {
                let _ = write!(self.out, "enum {:?}[", container.name);
                for (index, variant) in variants.iter().filter(|v| !v.absent).enumerate() {
                    self.separate(index, ',');
                    self.name(variant.name);
                    self.slot(variant.body);
                }
                self.out.push(']');
            }
        }
    }

    fn separate(&mut self, index: usize, mark: char) {
        if index > 0 {
            self.out.push(mark);
        }
    }

    /// A name in quotes, with what could end the quotes escaped.
    fn name(&mut self, name: &str) {
        let _ = write!(self.out, "{name:?}:");
    }
}
