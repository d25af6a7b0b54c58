//! Which known word somebody may have meant. For messages only: nothing is ever guessed in their place.

/// The word of `known` that is nearest to `written`, if it is near enough to be a slip: one change for each three
/// letters written, and at most three.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (written.chars().count() / 3).clamp(1, 3);
    let ranked = known.into_iter().map(|word| (distance(written, word), word));
    ranked.min().filter(|(changes, _)| *changes <= limit).map(|(_, word)| word)
}

/// Letters to insert, drop, change, or swap with their neighbour: the restricted Damerau-Levenshtein distance.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, &letter) in from.iter().enumerate() {
        let mut this = vec![row + 1];
        for (column, &other) in to.iter().enumerate() {
            let changed = last[column] + usize::from(letter != other);
            let mut least = changed.min(last[column + 1] + 1).min(this[column] + 1);
            if row > 0 && column > 0 && letter == to[column - 1] && from[row - 1] == other {
                least = least.min(before[column - 1] + 1);
            }
            this.push(least);
        }
        before = std::mem::replace(&mut last, this);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips() {
        let known = ["port", "name", "http", "datacenter", "interval"];
        for (written, meant) in [
            ("prot", Some("port")),
            ("htpp", Some("http")),
            ("datacentre", Some("datacenter")),
            ("intervall", Some("interval")),
            ("nmae", Some("name")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
        assert_eq!(nearest("port", []), None);
    }
}
