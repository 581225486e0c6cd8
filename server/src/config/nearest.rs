//! What somebody who mistyped a name may have meant.

/// The one of `names` that is nearest to `wrong`, if any is near.
pub(crate) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = wrong.len() / 3 + 1;
    names
        .map(|name| (distance(wrong, name), name))
        .filter(|(distance, _)| *distance <= near)
        .min()
        .map(|(_, name)| name)
}

/// How many characters must be put in, taken out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (j, to) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX - 1);
            let here = (corner + usize::from(from != *to))
                .min(above + 1)
                .min(left + 1);
            if let Some(place) = row.get_mut(j) {
                *place = left;
            }
            corner = above;
            left = here;
        }
        if let Some(last) = row.last_mut() {
            *last = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("listn", "listen", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn names_only_what_is_near() {
        let names = ["kafka.listen", "kafka.sasl", "store.tail_bytes"];
        assert_eq!(
            nearest("kafka.listn", names.into_iter()),
            Some("kafka.listen")
        );
        assert_eq!(nearest("completely.different", names.into_iter()), None);
    }
}
