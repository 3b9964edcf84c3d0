//! A password from a file in libpq's format: lines of `host:port:database:user:password`, where `*` stands for anything and a backslash for itself.
//!
//! What must always hold here: a file that others than its owner can read is not used, as with libpq.

use crate::fault::Fault;
use crate::postgres::url::{Host, Target};
use crate::secret_file::read_private;
use std::path::Path;

/// The password of the first line that fits, if any does.
pub fn look_up(path: &Path, target: &Target, host: &Host) -> Result<Option<String>, Fault> {
    let text = read_private("passfile", path, 0o077)?;
    Ok(find(&text, target, host))
}

fn find(text: &str, target: &Target, host: &Host) -> Option<String> {
    let port = host.port.to_string();
    let wanted = [host.name.as_str(), &port, &target.database, &target.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = split(line)?;
        let fits = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then(|| fields[4].clone())
    })
}

/// The five fields of a line; the last one ends with the line, or with a colon.
fn split(line: &str) -> Option<[String; 5]> {
    let mut fields: [String; 5] = Default::default();
    let mut at = 0;
    let mut characters = line.trim_end_matches('\r').chars();
    while let Some(c) = characters.next() {
        match c {
            ':' if at == 4 => break,
            ':' => at += 1,
            '\\' => fields[at].extend(characters.next()),
            c => fields[at].push(c),
        }
    }
    (at == 4 && !fields[4].is_empty()).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Option<String> {
        let target = Target::parse("postgres://gundb@tokyo.example/shop").unwrap();
        find(text, &target, &target.hosts[0])
    }

    #[test]
    fn the_first_line_that_fits_decides() {
        let text = "# a comment\nosaka.example:*:*:*:no\n\ntokyo.example:5432:shop:gundb:yes\n*:*:*:*:late\n";
        assert_eq!(password(text).as_deref(), Some("yes"));
        assert_eq!(password("*:5433:*:*:no\n*:*:shop:*:yes").as_deref(), Some("yes"));
        assert_eq!(password("tokyo.example:5432:shop:other:no"), None);
        assert_eq!(password("tokyo.example:5432:shop\ntokyo.example"), None);
    }

    #[test]
    fn a_backslash_makes_a_colon_and_itself_a_character() {
        assert_eq!(password("*:*:*:*:a\\:b\\\\c").as_deref(), Some("a:b\\c"));
        assert_eq!(password("*:*:*:*:\\"), None);
    }
}
