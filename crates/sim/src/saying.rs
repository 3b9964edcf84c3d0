//! What users say in an event: its id, type, key and data, as the views' columns read them.
//!
//! What must always hold here: keys, values and ids are few, so that what sites say meets.

use gundb_core::fold::{REVERTED, revert_id};
use gundb_core::{Limits, canonical_text};
use uuid::Uuid;

use crate::random::Random;

/// The type of events that delete their key's row.
pub const DELETED: &str = "Deleted";

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saying {
    pub id: Uuid,
    pub kind: &'static str,
    pub key: Option<String>,
    pub data: String,
    pub meta: String,
}

impl Saying {
    /// Something new, with about so many bytes of text.
    pub fn draw(random: &mut Random, id: Uuid, bytes: usize) -> Saying {
        // What is too much for a double, and what a double cannot be.
        const NUMBERS: [&str; 6] =
            ["0.1", "-0.3", "7", "-1000000", "12345678901234567890.123456789", "0.00000000000000000001"];
        let mut members = vec![format!("\"text\": \"{:.<1$}\"", "", bytes)];
        let mut say = |random: &mut Random, name: &str, value: &dyn Fn(&mut Random) -> String| {
            if random.percent(50) {
                members.push(format!("\"{name}\": {}", value(random)));
            }
        };
        let letter = |random: &mut Random| random.pick(&["\"a\"", "\"b\"", "null"]).to_string();
        say(random, "n", &|random| random.pick(&NUMBERS).to_string());
        for name in ["s", "add", "remove", "put", "drop"] {
            say(random, name, &letter);
        }
        say(random, "on", &|random| random.percent(60).to_string());
        say(random, "ticks", &|random| {
            let ticks = random.between(1, 9);
            format!("{{\"gcounter\": {{\"{}/0000000000000001\": {ticks}}}}}", Uuid::from_u128(u128::from(ticks % 3)))
        });
        let kind = if random.percent(6) { DELETED } else { "Happened" };
        Saying { id, kind, key: Some(key(random)), data: canonical(&members), meta: "{}".to_owned() }
    }

    /// That the event with this id, of this key, is not to count; or is to count again.
    pub fn reverts(of: &Saying) -> Saying {
        let (id, meta) = (revert_id(&of.id), canonical(&[format!("\"reverts\": [\"{}\"]", of.id)]));
        Saying { id, kind: REVERTED, key: of.key.clone(), data: "{}".to_owned(), meta }
    }

    /// The same under another key, as where one id is given twice.
    pub fn of_another_key(&self, random: &mut Random) -> Saying {
        Saying { key: Some(key(random)), ..self.clone() }
    }

    /// That there is a stream.
    pub fn declares(id: Uuid, name: &str) -> Saying {
        Saying { id, kind: "Declared", key: Some(name.to_owned()), data: "{}".to_owned(), meta: "{}".to_owned() }
    }
}

fn key(random: &mut Random) -> String {
    random.pick(&["A", "B"]).to_string()
}

fn canonical(members: &[String]) -> String {
    let text = format!("{{{}}}", members.join(", "));
    canonical_text(&text, Limits { depth: 10, bytes: 1 << 20 }).expect("it is JSON")
}
