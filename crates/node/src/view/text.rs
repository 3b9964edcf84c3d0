//! Values as PostgreSQL prints them, with ISO dates and in UTC: what the digest of a view's rows is made of.

use gundb_core::fold::FoldValue;
use gundb_core::{Datum, Limits, RowsDigest, canonical_text};

use crate::view::past::Row;

/// The digest of rows: equal to PostgreSQL's `gundb.view_digest` where the rows are.
pub fn digest(rows: &[Row]) -> [u8; 16] {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut digest = RowsDigest::new();
    for row in sorted {
        let key = row.key.iter().map(|datum| Some(printed(datum)));
        let texts: Vec<Option<String>> = key.chain(row.values.iter().map(value)).collect();
        digest.add(&texts.iter().map(Option::as_deref).collect::<Vec<_>>());
    }
    digest.finish()
}

fn value(value: &FoldValue) -> Option<String> {
    match value {
        FoldValue::Datum(datum) => datum.as_ref().map(printed),
        FoldValue::Array(values) => {
            let elements: Vec<String> =
                values.iter().map(|value| value.as_ref().map_or_else(|| "NULL".to_owned(), element)).collect();
            Some(format!("{{{}}}", elements.join(",")))
        }
        FoldValue::Entries(_) => Some(json(value)),
        FoldValue::Crdt(_) => value.sql_text(),
    }
}

/// A value as JSON, as jsonb prints it: keys in its order.
pub fn json(value: &FoldValue) -> String {
    let text = value.json_text();
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    // What a fold gives is JSON; should jsonb not hold it, it is shown as it is.
    canonical_text(&text, limits).unwrap_or(text)
}

/// The text of a value: `column::text`.
fn printed(datum: &Datum) -> String {
    let text = datum.to_string();
    match datum {
        // 2026-11-23T00:41:07.5Z is printed as 2026-11-23 00:41:07.5+00
        Datum::Timestamptz(_) => text.replace('T', " ").replace('Z', "+00"),
        _ => text,
    }
}

/// An element of an array, quoted where PostgreSQL quotes it; of booleans only the first letter.
fn element(datum: &Datum) -> String {
    if let Datum::Boolean(value) = datum {
        return if *value { "t" } else { "f" }.to_owned();
    }
    let text = printed(datum);
    let is_special = |character: char| {
        matches!(character, '{' | '}' | ',' | '"' | '\\')
            || matches!(character, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
    };
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(is_special) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_quoted_where_postgresql_quotes_it() {
        let of = |text: &str| element(&Datum::Text(text.into()));
        assert_eq!(
            [of("a"), of(""), of("NULL"), of("a b"), of("a,b"), of("\"\\"), of("é")],
            ["a", "\"\"", "\"NULL\"", "\"a b\"", "\"a,b\"", "\"\\\"\\\\\"", "é"]
        );
        assert_eq!(element(&Datum::Boolean(true)), "t");
    }
}
