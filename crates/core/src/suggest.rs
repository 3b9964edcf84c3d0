//! "Did you mean …?"
//!
//! What must always hold here: the same names give the same suggestion, and a name that resembles nothing gets none. Wrong names come from users and may be
//! of any length, candidates are many: the cost is the product of two lengths for each, so long names are not compared.

/// Names longer than this are compared with nothing, in characters.
const CHARACTERS_MAX: usize = 128;

/// The candidate that a misspelt name most resembles; the first of several. O(name × candidates' lengths).
pub fn similar<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let characters = name.chars().count();
    if characters > CHARACTERS_MAX {
        return None;
    }
    // A third of the name may be wrong: `odrers` is `orders`, `ab` is not `cd`.
    let distance_max = (characters / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(characters) <= distance_max)
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= distance_max && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMS: [&str; 4] = ["orders", "stock_moves", "payments", "ok"];

    #[test]
    fn a_misspelt_name_finds_the_nearest_one() {
        for (name, expected) in [
            ("odrers", "orders"),
            ("Orders", "orders"),
            ("stockmoves", "stock_moves"),
            ("paymnet", "payments"),
            ("okk", "ok"),
        ] {
            assert_eq!(similar(name, STREAMS), Some(expected), "{name}");
        }
    }

    #[test]
    fn a_name_that_resembles_nothing_gets_no_suggestion() {
        for name in ["customers", "", "zz", &"orders".repeat(1000)] {
            assert_eq!(similar(name, STREAMS), None, "{name:.20}");
        }
    }
}
