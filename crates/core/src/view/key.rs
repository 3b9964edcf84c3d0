//! What a view's events are grouped by: `path ['::' type] ['as' name]`, several by commas.
//!
//! What must always hold here: each part has a name of its own; an event without one of the parts has no key.

use std::str::FromStr;

use super::language::{Cursor, LanguageError, LanguageProblem};
use super::path::{EventView, Path};
use crate::bytes::{DecodeError, Reader};
use crate::datum::{CastError, Datum, DatumType};

/// A view's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(pub Vec<KeyPart>);

/// One column of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    /// Where its value stands.
    pub path: Path,
    /// Its type: text unless said otherwise.
    pub datum_type: DatumType,
    /// Its name: the last of the path unless said otherwise.
    pub name: String,
}

/// Most bytes of a name that PostgreSQL keeps whole.
pub(super) const NAME_BYTES_MAX: usize = 63;

impl Key {
    /// The key of an event; None where a part is missing or null. The error comes with the part that could not be cast.
    pub fn of(&self, event: &EventView<'_>) -> Result<Option<Vec<Datum>>, (&KeyPart, CastError)> {
        let mut values = Vec::with_capacity(self.0.len());
        for part in &self.0 {
            let Some(json) = part.path.find(event) else {
                return Ok(None);
            };
            match part.datum_type.cast(&json).map_err(|error| (part, error))? {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
        Ok(Some(values))
    }
}

impl FromStr for Key {
    type Err = LanguageError;

    fn from_str(text: &str) -> Result<Key, LanguageError> {
        let mut cursor = Cursor::new(text)?;
        let mut parts: Vec<KeyPart> = Vec::new();
        loop {
            cursor.skip_spaces();
            let offset = cursor.offset();
            let part = part(&mut cursor)?;
            let at_part = |problem| LanguageError { offset, problem };
            if part.path.negated {
                return Err(at_part(LanguageProblem::Negative));
            }
            if part.datum_type == DatumType::Jsonb {
                return Err(at_part(LanguageProblem::JsonbKey));
            }
            if part.name.is_empty() || part.name.len() > NAME_BYTES_MAX {
                return Err(at_part(LanguageProblem::NameLength));
            }
            if parts.iter().any(|other| other.name == part.name) {
                return Err(at_part(LanguageProblem::Twice { name: part.name }));
            }
            parts.push(part);
            if !cursor.take_spaced(",") {
                break;
            }
        }
        cursor.end("'::', 'as', ',' or the end of the key")?;
        Ok(Key(parts))
    }
}

/// The bytes of a key's values, by which its row's state is found. Equal values have equal bytes.
pub fn encode_key(values: &[Datum]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| value.encode(&mut bytes));
    bytes
}

/// The values of [`encode_key`].
pub fn decode_key(bytes: &[u8]) -> Result<Vec<Datum>, DecodeError> {
    let mut reader = Reader::new(bytes)?;
    let mut values = Vec::new();
    while reader.end().is_err() {
        values.push(Datum::decode(&mut reader)?);
    }
    Ok(values)
}

fn part(cursor: &mut Cursor<'_>) -> Result<KeyPart, LanguageError> {
    let path = Path::read(cursor)?;
    let mut datum_type = DatumType::Text;
    if cursor.take_spaced("::") {
        cursor.skip_spaces();
        let offset = cursor.offset();
        let name = cursor.name("a type")?;
        datum_type = name
            .parse()
            .map_err(|unknown: crate::datum::UnknownType| LanguageError { offset, problem: unknown.into() })?;
    }
    let name = if cursor.take_word("as") {
        cursor.skip_spaces();
        cursor.name("a name")?
    } else {
        let name = path.default_name().map(str::to_owned);
        name.ok_or_else(|| cursor.expected("'as' and a name"))?
    };
    Ok(KeyPart { path, datum_type, name })
}
