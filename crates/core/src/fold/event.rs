//! What an event does to a row: operations by column; and what a column is worth.
//!
//! What must always hold here: an id counts once. Whoever brings events brings all dots that bear an id as one [`FoldEvent`].

use std::collections::BTreeMap;

use uuid::Uuid;

use super::mark::{Mark, Marks};
use crate::crdt::Crdt;
use crate::datum::Datum;
use crate::json::Json;

/// One thing that an event does to a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// `count`: counts.
    Count,
    /// `sum min max avg`: gives a value. For `sum` and `avg` it is numeric or bigint.
    Give(Datum),
    /// `lww fww mv`: writes a value, or NULL; `by` goes before the total order (`lww fww`).
    Write {
        /// What is compared first.
        by: Option<Datum>,
        /// The value.
        value: Option<Datum>,
    },
    /// `set rw_set`: puts in.
    Add(Datum),
    /// `set rw_set`: takes out.
    Remove(Datum),
    /// `flag dw_flag`.
    Enable,
    /// `flag dw_flag`.
    Disable,
    /// `map`: writes an entry.
    Put {
        /// The entry's key.
        key: Datum,
        /// Its value.
        value: Datum,
    },
    /// `map`: takes an entry away.
    Drop {
        /// The entry's key.
        key: Datum,
    },
    /// `merge`: brings a value.
    Merge(Crdt),
}

/// What an event does to a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Deletes it, as far as its author had seen it.
    Delete,
    /// Does these things to each column, in the columns' order; perhaps nothing to some or all.
    Fold(Vec<Vec<Operation>>),
}

/// One accepted appending of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The event's id.
    pub id: Uuid,
    /// Where this appending stands.
    pub mark: Mark,
    /// What it does.
    pub effect: Effect,
}

/// An event, with all its dots that are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldEvent {
    /// The first of its dots in total order: its place and its context.
    pub mark: Mark,
    /// Its other dots, in order: it is in a context when any of its dots is.
    pub others: Vec<Mark>,
    /// What the first says.
    pub effect: Effect,
    /// Where it stood when it was folded into this key before, if it was: it came again under another dot.
    pub folded_at: Option<Mark>,
}

impl FoldEvent {
    /// An event of one dot, not folded before.
    pub fn new(mark: Mark, effect: Effect) -> FoldEvent {
        FoldEvent { mark, others: Vec::new(), effect, folded_at: None }
    }

    pub(super) fn marks(&self) -> Marks {
        Marks { first: self.mark, others: self.others.clone() }
    }
}

/// Events by id: of each id the first appending in total order counts, and the others are its other dots. In total order.
pub fn group_by_id(appended: impl IntoIterator<Item = Appended>) -> Vec<FoldEvent> {
    let mut by_id: BTreeMap<Uuid, Vec<Appended>> = BTreeMap::new();
    for one in appended {
        by_id.entry(one.id).or_default().push(one);
    }
    let grouped = by_id.into_values().filter_map(|mut same| {
        same.sort_by_key(|one| one.mark);
        same.dedup_by_key(|one| one.mark);
        let mut rest = same.into_iter();
        let first = rest.next()?;
        Some(FoldEvent { others: rest.map(|one| one.mark).collect(), ..FoldEvent::new(first.mark, first.effect) })
    });
    let mut events: Vec<FoldEvent> = grouped.collect();
    events.sort_by_key(|event| event.mark);
    events
}

/// What a column is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoldValue {
    /// NULL, or a value.
    Datum(Option<Datum>),
    /// Values, ascending, each once; NULL last.
    Array(Vec<Option<Datum>>),
    /// Entries by key.
    Entries(Vec<(Datum, Datum)>),
    /// A CRDT value, or NULL.
    Crdt(Option<Crdt>),
}

impl FoldValue {
    /// The value as PostgreSQL reads it: of an array `{"a","b",NULL}`, of entries a JSON object. None: NULL.
    pub fn sql_text(&self) -> Option<String> {
        match self {
            FoldValue::Datum(datum) => datum.as_ref().map(Datum::to_string),
            FoldValue::Crdt(value) => value.as_ref().map(Crdt::to_string),
            FoldValue::Array(values) => {
                let element = |value: &Option<Datum>| match value {
                    Some(datum) => {
                        format!("\"{}\"", datum.to_string().replace('\\', "\\\\").replace('"', "\\\""))
                    }
                    None => "NULL".to_owned(),
                };
                let elements: Vec<String> = values.iter().map(element).collect();
                Some(format!("{{{}}}", elements.join(",")))
            }
            FoldValue::Entries(entries) => {
                let entry = |(key, value): &(Datum, Datum)| format!("{}: {value}", Json::String(key.to_string()));
                let entries: Vec<String> = entries.iter().map(entry).collect();
                Some(format!("{{{}}}", entries.join(", ")))
            }
        }
    }

    /// The value as JSON text, in one canonical form: numbers, booleans and JSON as they are, arrays, objects, the JSON of a CRDT value; times, days and
    /// uuids as strings.
    pub fn json_text(&self) -> String {
        let null = || "null".to_owned();
        match self {
            FoldValue::Datum(datum) => datum.as_ref().map_or_else(null, Datum::json_text),
            FoldValue::Array(values) => {
                let elements: Vec<String> =
                    values.iter().map(|value| value.as_ref().map_or_else(null, Datum::json_text)).collect();
                format!("[{}]", elements.join(", "))
            }
            FoldValue::Entries(_) | FoldValue::Crdt(_) => self.sql_text().unwrap_or_else(null),
        }
    }

    pub(super) fn array(values: impl IntoIterator<Item = Option<Datum>>) -> FoldValue {
        let mut values: Vec<Option<Datum>> = values.into_iter().collect();
        values.sort_by(|a, b| (a.is_none(), a).cmp(&(b.is_none(), b)));
        values.dedup();
        FoldValue::Array(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_of_their_own_kind() {
        let text = |text: &str| Datum::Text(text.into());
        let told = |value: FoldValue| value.json_text();
        assert_eq!(told(FoldValue::Datum(None)), "null");
        assert_eq!(told(FoldValue::Datum(Some(text("say \"x\"")))), r#""say \"x\"""#);
        assert_eq!(told(FoldValue::Datum(Some(Datum::Numeric("1.50".parse().unwrap())))), "1.5");
        assert_eq!(told(FoldValue::Datum(Some(Datum::Jsonb(r#"{"a": 1}"#.into())))), r#"{"a": 1}"#);
        assert_eq!(
            told(FoldValue::Array(vec![Some(text("a")), Some(Datum::Boolean(true)), None])),
            r#"["a", true, null]"#
        );
        assert_eq!(told(FoldValue::Entries(vec![(text("k"), Datum::Jsonb("[1]".into()))])), r#"{"k": [1]}"#);
        assert_eq!(told(FoldValue::Crdt(None)), "null");
    }
}
