//! An event as a value of an enum, and back: the type names the variant, the data is what it holds.

use std::cell::Cell;

use gundb_core::Event;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::typed::Events;

/// What serde may fail with.
type Failure = serde_json::Error;

/// The type and the data of a value.
pub fn write<E: Events>(event: &E) -> Result<(String, String)> {
    let invalid = |why: String| Error::new(Kind::Invalid, format!("{} cannot be an event: {why}", E::schema_name()));
    match serde_json::to_value(event).map_err(|why| invalid(why.to_string()))? {
        Value::String(kind) => Ok((kind, "{}".to_owned())),
        Value::Object(object) if object.len() == 1 => {
            let only = object.into_iter().next().map(|(kind, data)| (kind, data.to_string()));
            only.ok_or_else(|| invalid("it is empty".to_owned()))
        }
        _ => Err(invalid("it is not an enum whose variants are event types".to_owned())),
    }
}

/// An event as a value. None where the enum has no variant for its type.
pub fn read<E: Events>(event: &Event) -> Result<Option<E>> {
    let does_not_fit = |why: Failure| {
        Error::new(Kind::Invalid, format!("event {} does not fit {}::{}: {why}", event.dot, E::schema_name(), event.kind))
            .hint("Its author checked it against the event type as that was defined there then: give what came later a #[serde(default)].")
    };
    let data = serde_json::from_str(&event.data).map_err(does_not_fit)?;
    let is_known = Cell::new(true);
    match E::deserialize(Tagged { kind: &event.kind, data, is_known: &is_known }) {
        Ok(value) => Ok(Some(value)),
        Err(_) if !is_known.get() => Ok(None),
        Err(why) => Err(does_not_fit(why)),
    }
}

/// A type and data, as serde reads an enum.
struct Tagged<'a> {
    kind: &'a str,
    data: Value,
    /// Cleared where there is no variant of this name.
    is_known: &'a Cell<bool>,
}

impl<'de> Deserializer<'de> for Tagged<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple tuple_struct map
        struct enum identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Tagged<'_> {
    type Error = Failure;
    type Variant = Held;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Held), Failure> {
        let name: StrDeserializer<'_, Failure> = self.kind.into_deserializer();
        match seed.deserialize(name) {
            Ok(variant) => Ok((variant, Held(self.data))),
            Err(why) => {
                self.is_known.set(false);
                Err(why)
            }
        }
    }
}

/// What a variant holds.
struct Held(Value);

impl<'de> VariantAccess<'de> for Held {
    type Error = Failure;

    // Who looks for nothing finds it, whatever the data says.
    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.0.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Failure> {
        self.0.deserialize_any(visitor)
    }
}
