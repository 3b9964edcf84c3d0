//! One dictionary for the folds of views and the CRDT values of SQL: a name means the same in both.
//!
//! What must always hold here: names and bytes never change once released; a name stands once.

use crate::crdt::Kind;
use crate::fold::Fold;

/// A name, the fold and the kind of value that bear it, and what both mean.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name, as written in view definitions, SQL and texts.
    pub name: &'static str,
    /// The fold of a view's column, where there is one.
    pub fold: Option<Fold>,
    /// The kind of CRDT value, where there is one.
    pub kind: Option<Kind>,
    /// The meaning in a line.
    pub meaning: &'static str,
}

const fn entry(name: &'static str, fold: Option<Fold>, kind: Option<Kind>, meaning: &'static str) -> Entry {
    Entry { name, fold, kind, meaning }
}

/// All names.
pub const DICTIONARY: [Entry; 19] = [
    entry("sum", Some(Fold::Sum), None, "the exact sum"),
    entry("count", Some(Fold::Count), None, "how many events"),
    entry("min", Some(Fold::Min), None, "the least value"),
    entry("max", Some(Fold::Max), None, "the greatest value"),
    entry("avg", Some(Fold::Avg), None, "the exact sum, divided"),
    entry("lww", Some(Fold::Lww), Some(Kind::Lww), "the last write wins"),
    entry("fww", Some(Fold::Fww), None, "the first write wins"),
    entry("mv", Some(Fold::Mv), Some(Kind::Mv), "every write that no other has seen"),
    entry("set", Some(Fold::Set), Some(Kind::Set), "a set: what no remove has seen is in"),
    entry("rw_set", Some(Fold::RwSet), Some(Kind::RwSet), "a set: an add must have seen every remove"),
    entry("flag", Some(Fold::Flag), Some(Kind::Flag), "on where an enable is in no disable's context"),
    entry("dw_flag", Some(Fold::DwFlag), Some(Kind::DwFlag), "on where an enable has seen every disable"),
    entry("map", Some(Fold::Map), Some(Kind::Map), "entries: the last of the writes that none has seen"),
    entry("merge", Some(Fold::Merge), None, "CRDT values, merged"),
    entry("gcounter", None, Some(Kind::Gcounter), "a counter that grows"),
    entry("pncounter", None, Some(Kind::Pncounter), "a counter that grows and shrinks"),
    entry("gset", None, Some(Kind::Gset), "a set that grows"),
    entry("bcounter", None, Some(Kind::Bcounter), "a counter never below zero, by escrow"),
    entry("delete", None, None, "the row goes, but for what the delete had not seen"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_name_stands_once_and_finds_what_it_names() {
        let names: BTreeSet<&str> = DICTIONARY.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), DICTIONARY.len());
        for entry in DICTIONARY {
            assert!(entry.fold.is_none_or(|fold| fold.name() == entry.name && entry.name.parse() == Ok(fold)));
            assert!(entry.kind.is_none_or(|kind| kind.name() == entry.name && entry.name.parse() == Ok(kind)));
        }
    }
}
