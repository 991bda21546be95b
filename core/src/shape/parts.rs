//! The parts of a probed value: the elements of a row, and the variant of an enum.

use std::any::type_name;

use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::model::{Head, SlotId};
use super::tracer::{Obstacle, Probe, TraceError, Tracer};

/// Gives the parts of a tuple, a struct, a sequence or a map, one after the other.
pub(super) struct Row<'t> {
    pub(super) tracer: &'t mut Tracer,
    pub(super) slot: SlotId,
    pub(super) format: usize,
    pub(super) next: usize,
    pub(super) len: usize,
}

impl Row<'_> {
    fn part<'de, T: DeserializeSeed<'de>>(
        &mut self,
        part: usize,
        seed: T,
    ) -> Result<T::Value, TraceError> {
        let format = self.tracer.model.format(self.slot, self.format);
        let label = match format.head {
            Head::Fields(fields) => fields.get(part).copied().unwrap_or_default(),
            _ => "",
        };
        // The elements of a sequence, and of an array, share the last position. At least one position is there: a row
        // without parts gives none (`next == len`).
        let slot = format.inside[part.min(format.inside.len() - 1)];
        self.tracer.place.push((label, type_name::<T::Value>()));
        let value = seed.deserialize(Probe {
            tracer: self.tracer,
            slot,
        })?;
        // Not after an error: the place is then part of the report.
        self.tracer.place.pop();
        Ok(value)
    }
}

impl<'de> SeqAccess<'de> for Row<'_> {
    type Error = TraceError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, TraceError> {
        if self.next == self.len {
            return Ok(None);
        }
        let part = self.next;
        self.next += 1;
        self.part(part, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.len - self.next)
    }
}

impl<'de> MapAccess<'de> for Row<'_> {
    type Error = TraceError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, TraceError> {
        if self.next == self.len {
            return Ok(None);
        }
        self.next += 1;
        self.part(0, seed).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, TraceError> {
        self.part(1, seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.len - self.next)
    }
}

impl Probe<'_> {
    /// A value with a fixed row of parts.
    pub(super) fn row<'de, V: Visitor<'de>>(
        self,
        head: Head,
        visitor: V,
    ) -> Result<V::Value, TraceError> {
        let Self { tracer, slot } = self;
        tracer.step()?;
        tracer.sink()?;
        let format = tracer.model.ask(slot, head);
        let len = match head {
            Head::Tuple(len) => len,
            Head::Fields(fields) => fields.len(),
            _ => 0,
        };
        let value = visitor.visit_seq(Row {
            tracer,
            slot,
            format,
            next: 0,
            len,
        })?;
        Self::surface(tracer, slot, format, true);
        Ok(value)
    }
}

/// Gives one variant of an enum.
pub(super) struct Alternative<'t> {
    pub(super) tracer: &'t mut Tracer,
    pub(super) id: usize,
    pub(super) index: usize,
}

impl<'t> Alternative<'t> {
    fn body(self) -> Probe<'t> {
        let variant = &self.tracer.model.variants_mut(self.id)[self.index];
        let slot = variant.body;
        Probe {
            tracer: self.tracer,
            slot,
        }
    }
}

impl<'de> EnumAccess<'de> for Alternative<'_> {
    type Error = TraceError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Self), TraceError> {
        let number = u32::try_from(self.index).map_err(TraceError::custom)?;
        let number: U32Deserializer<TraceError> = number.into_deserializer();
        match seed.deserialize(number) {
            Ok(value) => Ok((value, self)),
            Err(refusal) => {
                // serde lists aliases among the names, but numbers only the variants.
                self.tracer.model.variants_mut(self.id)[self.index].absent = true;
                self.tracer.stop(Obstacle::Alias);
                Err(refusal)
            }
        }
    }
}

impl<'de> VariantAccess<'de> for Alternative<'_> {
    type Error = TraceError;

    fn unit_variant(self) -> Result<(), TraceError> {
        let Probe { tracer, slot } = self.body();
        tracer.model.ask(slot, Head::Leaf("unit"));
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, TraceError> {
        let Probe { tracer, slot } = self.body();
        let format = tracer.model.ask(slot, Head::Newtype);
        Row {
            tracer,
            slot,
            format,
            next: 0,
            len: 1,
        }
        .part(0, seed)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, TraceError> {
        self.body().row(Head::Tuple(len), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TraceError> {
        self.body().row(Head::Fields(fields), visitor)
    }
}
