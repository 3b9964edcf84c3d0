//! Random JSON documents with core's canonical text, to be compared with what a PostgreSQL server prints.
//!
//! Writes COPY-format lines of (document, canonical text); the text is NULL where core refuses the document. Some documents are wrong on purpose: the
//! server must refuse exactly those too. Arguments: how many documents, and the seed (printed to standard error; drawn where it is not given).
//!
//! ```sh
//! cargo run --release -p gundb-core --example canonical_text -- 1000000 > documents.copy
//! psql -X -q -d "$DATABASE" <<'SQL'
//! CREATE TEMP TABLE document (doc text, canon text);
//! CREATE FUNCTION pg_temp.jsonb_text(doc text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
//! BEGIN
//!     RETURN doc::jsonb::text;
//! EXCEPTION WHEN data_exception THEN
//!     RETURN NULL;
//! END $$;
//! \copy document FROM documents.copy
//! SELECT count(*) AS documents, count(canon) AS accepted,
//!        count(*) FILTER (WHERE pg_temp.jsonb_text(doc) IS DISTINCT FROM canon) AS differences FROM document;
//! SQL
//! ```
//!
//! Any UTF8 database will do. The number of differences must be 0.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Write};

use gundb_core::{Limits, canonical_text};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().expect("a number"));
    let documents = arguments.next().unwrap_or(1_000_000);
    let seed = arguments.next().unwrap_or_else(|| RandomState::new().hash_one(documents));
    eprintln!("{documents} documents, seed {seed}");
    let mut random = Random(seed);
    let mut out = BufWriter::new(io::stdout().lock());
    for _ in 0..documents {
        let document = random.document();
        let canonical = canonical_text(&document, Limits::default());
        write_field(&mut out, Some(&document))?;
        out.write_all(b"\t")?;
        write_field(&mut out, canonical.ok().as_deref())?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn write_field(out: &mut impl Write, field: Option<&str>) -> io::Result<()> {
    let Some(field) = field else {
        return out.write_all(b"\\N");
    };
    for byte in field.bytes() {
        match byte {
            b'\\' => out.write_all(b"\\\\")?,
            b'\n' => out.write_all(b"\\n")?,
            b'\r' => out.write_all(b"\\r")?,
            b'\t' => out.write_all(b"\\t")?,
            other => out.write_all(&[other])?,
        }
    }
    Ok(())
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same documents from the same seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    fn document(&mut self) -> String {
        let mut text = String::new();
        if self.one_in(1000) {
            self.deep_value(&mut text);
        } else {
            self.space(&mut text);
            self.value(&mut text, 5);
            self.space(&mut text);
        }
        if self.one_in(12) {
            self.spoil(&mut text);
        }
        text
    }

    /// Removes, doubles or inserts a character: often, but not always, wrong.
    fn spoil(&mut self, text: &mut String) {
        let mut characters: Vec<char> = text.chars().collect();
        let at = self.below(characters.len() as u64) as usize;
        match self.below(4) {
            0 => drop(characters.remove(at)),
            1 => characters.insert(at, characters[at]),
            2 => characters.truncate(at),
            _ => {
                let odd = self.pick(&[
                    "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "1", "-", "+", ".", "e", "n", "\u{1}", "\u{c}",
                    "\u{a0}", "/", "_", "é",
                ]);
                characters.splice(at..at, odd.chars());
            }
        }
        *text = characters.into_iter().collect();
    }

    fn deep_value(&mut self, text: &mut String) {
        let levels = 1 + self.below(900) as usize;
        let objects: Vec<bool> = (0..levels).map(|_| self.one_in(2)).collect();
        for object in &objects {
            text.push_str(if *object { "{\"k\":" } else { "[" });
        }
        self.scalar(text);
        for object in objects.iter().rev() {
            text.push(if *object { '}' } else { ']' });
        }
    }

    fn value(&mut self, text: &mut String, depth: u64) {
        match self.below(if depth == 0 { 4 } else { 10 }) {
            0..=3 => self.scalar(text),
            4..=6 => self.array(text, depth - 1),
            _ => self.object(text, depth - 1),
        }
    }

    fn array(&mut self, text: &mut String, depth: u64) {
        text.push('[');
        self.space(text);
        for item in 0..self.below(5) {
            if item > 0 {
                self.comma(text);
            }
            self.value(text, depth);
        }
        self.space(text);
        text.push(']');
    }

    fn object(&mut self, text: &mut String, depth: u64) {
        text.push('{');
        self.space(text);
        for entry in 0..self.below(7) {
            if entry > 0 {
                self.comma(text);
            }
            // Few keys, so that they repeat, also in another spelling.
            if self.one_in(3) {
                self.string(text);
            } else {
                text.push_str(self.pick(&[
                    "\"a\"",
                    "\"b\"",
                    "\"\\u0061\"",
                    "\"aa\"",
                    "\"ab\"",
                    "\"b0\"",
                    "\"\"",
                    "\"é\"",
                    "\"\\u00e9\"",
                    "\"zz\"",
                    "\"A\"",
                    "\"😀\"",
                    "\"\\ud83d\\ude00\"",
                    "\"\\n\"",
                    "\"\\\"\"",
                    "\"a b\"",
                ]));
            }
            self.space(text);
            text.push(':');
            self.space(text);
            self.value(text, depth);
        }
        self.space(text);
        text.push('}');
    }

    fn comma(&mut self, text: &mut String) {
        self.space(text);
        text.push(',');
        self.space(text);
    }

    fn space(&mut self, text: &mut String) {
        while self.one_in(4) {
            text.push_str(self.pick(&[" ", "\t", "\n", "\r", "\r\n", "  "]));
        }
    }

    fn scalar(&mut self, text: &mut String) {
        match self.below(10) {
            0 => text.push_str("null"),
            1 => text.push_str("true"),
            2 => text.push_str("false"),
            3..=6 => self.number(text),
            _ => self.string(text),
        }
    }

    fn number(&mut self, text: &mut String) {
        if self.one_in(30) {
            text.push_str(self.pick(&[
                "-0",
                "-0.0",
                "0.000",
                "0e0",
                "0e-7",
                "0.00e7",
                "-0e-2",
                "1e-0",
                "1E+5",
                "100e-2",
                "9007199254740993",
                "18446744073709551616",
                "1.7976931348623157e308",
                "5e-324",
                "1e-400",
                "1e400",
                "123456789e-9",
                "9999e4",
                "10000e4",
                "0.0001e4",
                "99999999.99999999",
            ]));
            return;
        }
        if self.one_in(3000) {
            text.push_str(self.pick(&[
                "1e131071",
                "9e131071",
                "-12e131070",
                "1e131072",
                "1e-16383",
                "1e-16384",
                "0e-16383",
                "0e-16384",
                "1.5e-16382",
                "1.5e-16383",
                "0.0001e131075",
                "0.00001e131075",
                "0.1e131072",
                "123e131069",
                "123e131070",
                "0e1000000000",
                "0e1073741822",
                "0e1073741823",
                "1e2147483648",
                "1e-99999999999999999999",
                "0e99999999999999999999",
                "1e00000000000000000000005",
                "0e-1073741823",
            ]));
            return;
        }
        if self.one_in(2) {
            text.push('-');
        }
        self.digits(text, 40, false);
        if self.one_in(2) {
            text.push('.');
            self.digits(text, 30, true);
        }
        if self.one_in(3) {
            text.push_str(self.pick(&["e", "E", "e+", "E-", "e-", "E+", "e0", "e-0"]));
            text.push_str(&self.below(60).to_string());
        }
    }

    fn digits(&mut self, text: &mut String, most: u64, zero_first: bool) {
        let most = 1 + self.below(most);
        let count = 1 + self.below(most);
        for at in 0..count {
            // Runs of zeros are where printing goes wrong.
            let digit = if self.one_in(2) { 0 } else { self.below(10) };
            let digit = if at == 0 && count > 1 && !zero_first { digit.max(1) } else { digit };
            text.push(char::from(b'0' + digit as u8));
        }
    }

    fn string(&mut self, text: &mut String) {
        text.push('"');
        let most = if self.one_in(20) { 200 } else { 12 };
        for _ in 0..self.below(most) {
            match self.below(12) {
                0 => text.push_str(self.pick(&["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"])),
                1 => {
                    // Any 16 bits but the surrogates, which come in pairs below, or seldom alone.
                    let mut unit = self.below(0x10000);
                    while unit == 0 || (0xd800..0xe000).contains(&unit) {
                        unit = self.below(0x200);
                    }
                    self.unicode_escape(text, unit);
                }
                2 => {
                    let (high, low) = (0xd800 + self.below(0x400), 0xdc00 + self.below(0x400));
                    self.unicode_escape(text, high);
                    self.unicode_escape(text, low);
                }
                3 if self.one_in(40) => {
                    text.push_str(self.pick(&[
                        "\\u0000",
                        "\\ud800",
                        "\\udc00",
                        "\\ud800\\u0041",
                        "\\ud83dx",
                        "\\x",
                        "\\u12",
                        "\\u00zz",
                        "\u{1}",
                        "\n",
                        "\t",
                    ]));
                }
                3..=5 => {
                    let code_point = match self.below(4) {
                        0 => self.below(0x80),
                        1 => self.below(0x800),
                        2 => self.below(0x1_0000),
                        _ => self.below(0x11_0000),
                    };
                    match char::from_u32(code_point as u32) {
                        Some(character) if character >= ' ' && character != '"' && character != '\\' => {
                            text.push(character)
                        }
                        _ => text.push('x'),
                    }
                }
                _ => text.push(char::from(b'a' + self.below(26) as u8)),
            }
        }
        text.push('"');
    }

    fn unicode_escape(&mut self, text: &mut String, unit: u64) {
        text.push_str(&if self.one_in(2) { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") });
    }
}
