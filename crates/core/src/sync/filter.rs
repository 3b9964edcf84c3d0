//! Which streams flow: lists of patterns.
//!
//! A pattern is a stream's name in which `*` stands for any text, empty text too; one that begins with `!` excludes. The last pattern that matches a name
//! decides, and a name that none matches does not flow. The system stream always flows.

use crate::id::StreamId;

/// The system stream: the definitions of streams, types and sites.
pub const SYSTEM_STREAM: &str = "gundb";

/// The greatest number of patterns in a filter.
pub const PATTERNS_MAX: usize = 1_000;

/// A list of patterns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Filter {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pattern {
    /// The texts between the asterisks.
    pieces: Vec<String>,
    excludes: bool,
}

/// Why a list of patterns is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Too many.
    #[error("a filter has at most {} patterns, not {found}", PATTERNS_MAX)]
    TooMany {
        /// How many were found.
        found: usize,
    },
    /// A pattern that matches nothing, or no name.
    #[error("\"{pattern}\" is not a pattern of stream names: {why}")]
    Malformed {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Filter {
    /// All streams: `{*}`.
    pub fn all() -> Filter {
        Filter { patterns: vec![Pattern { pieces: vec![String::new(), String::new()], excludes: false }] }
    }

    /// Parses patterns, in their order.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<Filter, FilterError> {
        if patterns.len() > PATTERNS_MAX {
            return Err(FilterError::TooMany { found: patterns.len() });
        }
        let patterns = patterns.iter().map(|pattern| Pattern::parse(pattern.as_ref())).collect::<Result<_, _>>()?;
        Ok(Filter { patterns })
    }

    /// The patterns, as they were written.
    pub fn patterns(&self) -> impl Iterator<Item = String> + '_ {
        self.patterns
            .iter()
            .map(|pattern| format!("{}{}", if pattern.excludes { "!" } else { "" }, pattern.pieces.join("*")))
    }

    /// Whether a stream of this name flows.
    pub fn matches(&self, name: &str) -> bool {
        name == SYSTEM_STREAM
            || self.patterns.iter().rev().find(|pattern| pattern.matches(name)).is_some_and(|last| !last.excludes)
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, FilterError> {
        let (excludes, pattern) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let malformed = |why| Err(FilterError::Malformed { pattern: text.to_owned(), why });
        if pattern.is_empty() {
            return malformed("it names nothing");
        }
        if pattern.len() > 4 * crate::StreamName::BYTES_MAX {
            return malformed("it is longer than any name");
        }
        if pattern.chars().any(char::is_control) {
            return malformed("no name has control characters");
        }
        Ok(Pattern { pieces: pattern.split('*').map(str::to_owned).collect(), excludes })
    }

    fn matches(&self, name: &str) -> bool {
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.pieces.first().is_some_and(|whole| whole == name);
        };
        let Some(mut rest) = name.strip_prefix(first.as_str()) else { return false };
        for piece in middle {
            // The first place where it fits leaves the most for those that follow.
            let Some(at) = rest.find(piece.as_str()) else { return false };
            rest = rest.get(at + piece.len()..).unwrap_or_default();
        }
        rest.ends_with(last.as_str())
    }
}

/// What flows from one site to another: what one sends and the other takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// What the one sends.
    pub push: Filter,
    /// What the other takes.
    pub pull: Filter,
}

impl Flow {
    /// Whether both are [`Filter::all`].
    pub fn is_all(&self) -> bool {
        let all = Filter::all();
        self.push == all && self.pull == all
    }

    /// Whether a stream of this name flows.
    pub fn matches(&self, name: &str) -> bool {
        self.push.matches(name) && self.pull.matches(name)
    }
}

/// The id of the system stream.
pub fn system_stream() -> StreamId {
    StreamId::of_name(SYSTEM_STREAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], name: &str) -> bool {
        Filter::parse(patterns).unwrap().matches(name)
    }

    #[test]
    fn an_asterisk_stands_for_any_text_and_everything_else_for_itself() {
        assert!(matches(&["*"], "orders") && matches(&["orders"], "orders") && matches(&["o*s"], "orders"));
        assert!(matches(&["*de*"], "orders") && matches(&["orders*"], "orders") && matches(&["o*r*r*"], "orders"));
        assert!(!matches(&["order"], "orders") && !matches(&["*x*"], "orders") && !matches(&["o*o"], "o"));
        assert!(!matches(&["a*b*b"], "ab") && !matches(&["o.ders"], "orders"));
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        assert!(!matches(&["*", "!audit*"], "audit_log") && matches(&["*", "!audit*", "audit_log"], "audit_log"));
        assert!(!matches(&["!audit", "x"], "orders") && !matches(&[], "orders"));
    }

    #[test]
    fn the_system_stream_always_flows() {
        assert!(matches(&[], SYSTEM_STREAM) && matches(&["!*"], SYSTEM_STREAM));
    }

    #[test]
    fn what_was_parsed_prints_as_it_was_written() {
        let patterns = ["*", "!audit*", "a**b"];
        assert_eq!(Filter::parse(&patterns).unwrap().patterns().collect::<Vec<_>>(), patterns);
        assert!(Filter::parse(&["!"]).is_err() && Filter::parse(&[""]).is_err() && Filter::parse(&["a\n"]).is_err());
    }
}
