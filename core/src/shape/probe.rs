//! A deserializer without data: it notes what a type requests and answers with samples.
//!
//! It answers in the way of the codec: structs and tuples as sequences, variants by number, nothing self-describing,
//! not human-readable. So a type takes the road here that it takes when a call is decoded.

use std::any::type_name;
use std::convert::identity;

use serde::de::{Deserializer, Error as _, Visitor};

use super::model::Head;
use super::parts::{Alternative, Row};
use super::samples;
use super::tracer::{Probe, TraceError};

macro_rules! integers {
    ($($method:ident $visit:ident $type:ident)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, TraceError> {
            let sample = self.leaf(stringify!($type), samples::integers::<$type>())?;
            visitor.$visit(samples::integer::<$type>(sample))
        }
    )*};
}

macro_rules! samples {
    ($($method:ident $visit:ident $name:literal $list:ident $convert:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, TraceError> {
            let sample = self.leaf($name, samples::$list.len())?;
            visitor.$visit($convert(samples::$list[sample]))
        }
    )*};
}

macro_rules! refused {
    ($($method:ident $what:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, TraceError> {
            self.refuse($what)
        }
    )*};
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = TraceError;

    integers! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_i128 visit_i128 i128
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
        deserialize_u128 visit_u128 u128
    }

    samples! {
        deserialize_bool visit_bool "bool" BOOLS identity;
        deserialize_f32 visit_f32 "f32" FLOATS identity;
        deserialize_f64 visit_f64 "f64" FLOATS f64::from;
        deserialize_char visit_char "char" CHARS identity;
        deserialize_str visit_string "str" TEXTS str::to_owned;
        deserialize_string visit_string "str" TEXTS str::to_owned;
        deserialize_bytes visit_byte_buf "bytes" BYTE_LENGTHS |n| vec![1; n];
        deserialize_byte_buf visit_byte_buf "bytes" BYTE_LENGTHS |n| vec![1; n];
    }

    refused! {
        deserialize_any "whatever comes next"
        deserialize_identifier "the name of a field"
        deserialize_ignored_any "something to skip"
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, TraceError> {
        // Outside: none, and some for a type that refuses none. Inside: some, or the trace would learn nothing.
        let (format, sample, outside) = self.optional(Head::Option, 1, 2)?;
        let Probe { tracer, slot } = self;
        let value = if !outside || sample == 1 {
            let inner = tracer.model.format(slot, format).inside[0];
            visitor.visit_some(Probe {
                tracer,
                slot: inner,
            })
        } else {
            visitor.visit_none()
        }?;
        Self::surface(tracer, slot, format, !outside);
        Ok(value)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TraceError> {
        self.tracer.step()?;
        self.tracer.model.ask(self.slot, Head::Leaf("unit"));
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, TraceError> {
        self.named::<V>(name, Head::Leaf("unit"))?;
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, TraceError> {
        self.named::<V>(name, Head::Newtype)?;
        let Probe { tracer, slot } = self;
        tracer.sink()?;
        let format = tracer.model.ask(slot, Head::Newtype);
        let inner = tracer.model.format(slot, format).inside[0];
        let value = visitor.visit_newtype_struct(Probe {
            tracer,
            slot: inner,
        })?;
        Self::surface(tracer, slot, format, true);
        Ok(value)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, TraceError> {
        let inside = samples::INSIDE_LENGTHS;
        let outside = samples::OUTSIDE_LENGTHS;
        let (format, sample, left_out) = self.optional(Head::Seq, inside.len(), outside.len())?;
        let Probe { tracer, slot } = self;
        let len = if left_out { outside } else { inside }[sample];
        let value = visitor.visit_seq(Row {
            tracer,
            slot,
            format,
            next: 0,
            len,
        })?;
        Self::surface(tracer, slot, format, !left_out);
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, TraceError> {
        self.row(Head::Tuple(len), visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, TraceError> {
        self.named::<V>(name, Head::Tuple(len))?;
        self.row(Head::Tuple(len), visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, TraceError> {
        let inside = samples::INSIDE_LENGTHS;
        let outside = samples::OUTSIDE_LENGTHS;
        let (format, sample, left_out) = self.optional(Head::Map, inside.len(), outside.len())?;
        let Probe { tracer, slot } = self;
        let len = if left_out { outside } else { inside }[sample];
        let value = visitor.visit_map(Row {
            tracer,
            slot,
            format,
            next: 0,
            len,
        })?;
        Self::surface(tracer, slot, format, !left_out);
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TraceError> {
        self.named::<V>(name, Head::Fields(fields))?;
        self.row(Head::Fields(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TraceError> {
        let Self { tracer, slot } = self;
        tracer.step()?;
        tracer.sink()?;
        let head = Head::Fields(variants);
        let visitor_name = type_name::<V>();
        let id = tracer
            .model
            .container(visitor_name, name, head, Some(variants));
        tracer.model.ask(slot, Head::Named(id));
        let index = tracer
            .pick(id)
            .ok_or_else(|| TraceError::custom(format!("enum {name} has no variant")))?;
        let before = tracer.steps;
        let value = visitor.visit_enum(Alternative { tracer, id, index })?;
        // Steps stand for size: the cheapest variant ends a recursion soonest.
        let cost = tracer.steps - before;
        let variant = &mut tracer.model.variants_mut(id)[index];
        variant.cost = Some(variant.cost.map_or(cost, |known| known.min(cost)));
        // Only on success: an error ends the whole pass, and `begin_pass` sets the depth to 0.
        tracer.depth -= 1;
        Ok(value)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
