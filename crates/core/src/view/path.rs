//! Where in an event a value stands: `['-'] [@key|@type|@id|@site|@hlc|@meta .] segment ('.' segment | '[' n ']')*`.
//!
//! What must always hold here: a path leads to one place or to none; arrays are not unwrapped, and there are no wildcards.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::language::{Cursor, LanguageError, LanguageProblem};
use crate::hlc::Hlc;
use crate::id::SiteId;
use crate::json::Json;
use crate::suggest::similar;

/// A JSON document that paths lead into: parsed, or in a store's own form, of which only what is asked for is read.
pub trait Document: fmt::Debug {
    /// What stands at the end of these steps, or None where they lead nowhere.
    fn at(&self, steps: &[Step]) -> Option<Cow<'_, Json>>;
}

impl Document for Json {
    fn at(&self, steps: &[Step]) -> Option<Cow<'_, Json>> {
        let mut place = self;
        for step in steps {
            place = match (step, place) {
                (Step::Name(name), Json::Object(object)) => object.get(name)?,
                (Step::Index(index), Json::Array(items)) => items.get(usize::try_from(*index).ok()?)?,
                _ => return None,
            };
        }
        Some(Cow::Borrowed(place))
    }
}

/// An event as views see it.
#[derive(Debug, Clone, Copy)]
pub struct EventView<'a> {
    /// The entity that it is about.
    pub key: Option<&'a str>,
    /// Its type.
    pub kind: &'a str,
    /// Its id.
    pub id: Uuid,
    /// The site that wrote it.
    pub site: SiteId,
    /// Its stamp.
    pub hlc: Hlc,
    /// What it says.
    pub data: &'a dyn Document,
    /// What is said about it.
    pub meta: &'a dyn Document,
}

/// Where a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the event's field of that name")]
pub enum Root {
    Data,
    Meta,
    Key,
    Type,
    Id,
    Site,
    Hlc,
}

/// The fields that are named with `@`.
const FIELDS: [(Root, &str); 6] = [
    (Root::Key, "key"),
    (Root::Type, "type"),
    (Root::Id, "id"),
    (Root::Site, "site"),
    (Root::Hlc, "hlc"),
    (Root::Meta, "meta"),
];

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Into an object.
    Name(String),
    /// Into an array, from 0.
    Index(u32),
}

/// A place in an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// Whether the number there is taken with its sign turned.
    pub negated: bool,
    /// Where it begins.
    pub root: Root,
    /// Where it leads from there.
    pub steps: Vec<Step>,
}

impl Path {
    /// What stands there (its sign not turned), or None where the path leads nowhere.
    pub fn find<'a>(&self, event: &EventView<'a>) -> Option<Cow<'a, Json>> {
        let text = |text: &str| Some(Cow::Owned(Json::String(text.to_owned())));
        match self.root {
            Root::Data => event.data.at(&self.steps),
            Root::Meta => event.meta.at(&self.steps),
            Root::Key => text(event.key?),
            Root::Type => text(event.kind),
            Root::Id => text(&event.id.to_string()),
            Root::Site => text(&event.site.to_string()),
            Root::Hlc => text(&event.hlc.to_string()),
        }
    }

    /// The name that a column from here has unless it is given one.
    pub(super) fn default_name(&self) -> Option<&str> {
        match self.steps.last() {
            Some(Step::Name(name)) => Some(name),
            Some(Step::Index(_)) => None,
            None => FIELDS.into_iter().find_map(|(root, name)| (root == self.root).then_some(name)),
        }
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Path, LanguageError> {
        cursor.skip_spaces();
        let negated = cursor.take("-");
        let at = cursor.offset();
        let (root, mut needs_name) = if cursor.take("@") {
            let name = cursor.bare().unwrap_or_default();
            let field = FIELDS.into_iter().find(|(_, field)| *field == name);
            let (root, field) = field.ok_or_else(|| LanguageError {
                offset: at,
                problem: LanguageProblem::UnknownField {
                    name: crate::datum::excerpt(name),
                    suggestion: similar(name, FIELDS.map(|(_, field)| field)),
                },
            })?;
            if root != Root::Meta && cursor.rest().starts_with(['.', '[']) {
                return Err(cursor.error(LanguageProblem::NoParts { field }));
            }
            (root, cursor.take("."))
        } else {
            (Root::Data, true)
        };
        if root == Root::Data && ["$.", "$["].iter().any(|start| cursor.rest().starts_with(start)) {
            return Err(cursor.error(LanguageProblem::JsonPath));
        }
        let mut steps = Vec::new();
        loop {
            if needs_name {
                steps.push(Step::Name(cursor.name("a path, as in place or order.lines[0].sku")?));
            }
            needs_name = cursor.take(".");
            if !needs_name {
                if steps.is_empty() || !cursor.take("[") {
                    break;
                }
                let digits = cursor.number_text();
                let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                let index = plain.then(|| digits.parse().ok()).flatten().filter(|index| *index <= i32::MAX as u32);
                steps.push(Step::Index(index.ok_or(cursor.error(LanguageProblem::Index))?));
                if !cursor.take("]") {
                    return Err(cursor.expected("']'"));
                }
            }
        }
        Ok(Path { negated, root, steps })
    }
}

impl FromStr for Path {
    type Err = LanguageError;

    fn from_str(text: &str) -> Result<Path, LanguageError> {
        let mut cursor = Cursor::new(text)?;
        let path = Path::read(&mut cursor)?;
        cursor.end("'.', '[' or the end of the path")?;
        Ok(path)
    }
}

impl fmt::Display for Path {
    /// One spelling: names are quoted where they must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.negated { "-" } else { "" })?;
        let field = FIELDS.into_iter().find(|(root, _)| *root == self.root);
        if let Some((_, field)) = field {
            write!(f, "@{field}")?;
        }
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Name(name) => {
                    f.write_str(if at > 0 || field.is_some() { "." } else { "" })?;
                    let bare = name != "$" && Cursor::new(name).is_ok_and(|mut cursor| cursor.bare() == Some(name));
                    match bare {
                        true => f.write_str(name)?,
                        false => write!(f, "{}", Json::String(name.clone()))?,
                    }
                }
            }
        }
        Ok(())
    }
}
