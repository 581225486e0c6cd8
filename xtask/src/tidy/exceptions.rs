//! `xtask/tidy/exceptions.txt`: a line each, `check path word: reason`. It excuses what the check
//! finds in that file where the word is named.

use super::{Tree, Violation};

/// Where the list is.
const LIST: &str = "xtask/tidy/exceptions.txt";

struct Exception<'a> {
    line: usize,
    check: &'a str,
    path: &'a str,
    word: &'a str,
}

/// The entries, and the numbers of the lines that are none.
fn read(tree: &Tree) -> (Vec<Exception<'_>>, Vec<usize>) {
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    for (at, line) in tree.text(LIST).unwrap_or_default().lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parsed = line.split_once(": ").and_then(|(place, reason)| {
            let mut parts = place.split(' ');
            let entry = Exception {
                line: at + 1,
                check: parts.next()?,
                path: parts.next()?,
                word: parts.next()?,
            };
            (parts.next().is_none() && !reason.trim().is_empty()).then_some(entry)
        });
        match parsed {
            Some(entry) => entries.push(entry),
            None => wrong.push(at + 1),
        }
    }
    (entries, wrong)
}

/// Takes out what is excused; adds entries that excuse nothing.
pub(super) fn apply(tree: &Tree, check: &str, found: Vec<Violation>) -> Vec<Violation> {
    let (mut entries, _) = read(tree);
    entries.retain(|entry| entry.check == check);
    let excuses = |entry: &Exception<'_>, violation: &Violation| {
        entry.path == violation.path && violation.what.contains(&format!("`{}`", entry.word))
    };
    let unused: Vec<_> = entries
        .iter()
        .filter(|entry| !found.iter().any(|violation| excuses(entry, violation)))
        .map(|entry| {
            let what = format!("nothing in {} needs this exception", entry.path);
            Violation::new(LIST, entry.line, what, "remove it")
        })
        .collect();
    let kept = found
        .into_iter()
        .filter(|violation| !entries.iter().any(|entry| excuses(entry, violation)));
    kept.chain(unused).collect()
}

/// Lines that are no entries, and entries of checks that do not exist.
pub(super) fn malformed<'a>(
    tree: &Tree,
    checks: impl Iterator<Item = &'a str> + Clone,
) -> Vec<Violation> {
    let (entries, wrong) = read(tree);
    let unknown = entries
        .iter()
        .filter(|entry| !checks.clone().any(|check| check == entry.check))
        .map(|entry| entry.line);
    wrong
        .iter()
        .copied()
        .chain(unknown)
        .map(|line| {
            let instead = "write `check path word: reason` with the name of a check";
            Violation::new(LIST, line, "not an exception", instead)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(path: &str, what: &str) -> Violation {
        Violation::new(path, 3, what, "do better")
    }

    #[test]
    fn what_is_excused_is_gone_and_what_excuses_nothing_is_found() {
        let tree = Tree::of(&[(
            LIST,
            "# about\nbans a.rs sleep: because\nbans b.rs sleep: because\nnouns a.rs x: because\n",
        )]);
        let found = vec![
            violation("a.rs", "`sleep` in a test"),
            violation("c.rs", "`sleep` in a test"),
        ];
        let left = apply(&tree, "bans", found);
        let left: Vec<_> = left.iter().map(|v| (v.path.as_str(), v.line)).collect();
        assert_eq!(left, [("c.rs", 3), (LIST, 3)]);
    }

    #[test]
    fn an_exception_has_a_reason_and_a_check() {
        let tree = Tree::of(&[(
            LIST,
            "bans a.rs sleep\nbens a.rs sleep: why\nbans a.rs sleep: why\n",
        )]);
        let found = malformed(&tree, ["bans"].into_iter());
        assert_eq!(found.iter().map(|v| v.line).collect::<Vec<_>>(), [1, 2]);
    }
}
