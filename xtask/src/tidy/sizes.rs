//! How long files and functions may be. What was too long when the rule came is listed with its
//! size and may only shrink: whoever shortens it lowers the number, until the line can go.

use std::collections::BTreeMap;

use super::code::Function;
use super::{Code, Tree, Violation};

/// The most lines of a file.
const FILE_MAX: usize = 600;
/// The most lines of a function.
const FUNCTION_MAX: usize = 70;
/// The most lines of `base`, which every crate recompiles with.
const BASE_MAX: usize = 2000;
/// Where the list is: `path lines` or `path::function lines`.
const LIST: &str = "xtask/tidy/sizes.txt";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let (listed, mut found) = read(tree);
    let sizes = measure(tree);
    for (place, (path, line, size)) in &sizes {
        match listed.get(place.as_str()) {
            None => {
                let what = format!("{place} has {size} lines");
                found.push(Violation::new(path, *line, what, instead(place)));
            }
            Some((_, allowed)) if size > allowed => {
                let what = format!("{place} grew from {allowed} to {size} lines");
                found.push(Violation::new(path, *line, what, instead(place)));
            }
            Some((at, allowed)) if size < allowed => {
                let what = format!("{place} has {size} lines, not {allowed}");
                found.push(Violation::new(LIST, *at, what, "write the lower number"));
            }
            Some(_) => {}
        }
    }
    for (place, (at, _)) in &listed {
        if !sizes.contains_key(*place) {
            let what = format!("{place} is not too long");
            found.push(Violation::new(LIST, *at, what, "remove the line"));
        }
    }
    found.extend(base(tree));
    found
}

fn instead(place: &str) -> String {
    if place.contains("::") {
        format!("{FUNCTION_MAX} is the limit: take a step out that has a name")
    } else {
        format!("{FILE_MAX} is the limit: cut it by its nouns")
    }
}

/// What is over the limits: the place, its file, line and size. Of functions of one name in a file
/// the longest counts.
fn measure(tree: &Tree) -> BTreeMap<String, (&str, usize, usize)> {
    let mut sizes = BTreeMap::new();
    for (path, text) in tree.written_rust() {
        let lines = text.lines().count();
        if lines > FILE_MAX {
            sizes.insert(path.to_owned(), (path, 1, lines));
        }
        for function in Code::new(text).functions() {
            if function.len() > FUNCTION_MAX {
                let place = format!("{path}::{}", function.name);
                let entry = sizes.entry(place).or_insert((path, 0, 0));
                *entry = longer(*entry, path, &function);
            }
        }
    }
    sizes
}

fn longer<'a>(
    known: (&'a str, usize, usize),
    path: &'a str,
    function: &Function,
) -> (&'a str, usize, usize) {
    if function.len() > known.2 {
        (path, *function.lines.start(), function.len())
    } else {
        known
    }
}

/// The list by place: line and size.
fn read(tree: &Tree) -> (BTreeMap<&str, (usize, usize)>, Vec<Violation>) {
    let (mut listed, mut wrong) = (BTreeMap::new(), Vec::new());
    for (at, line) in tree.text(LIST).unwrap_or_default().lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line
            .rsplit_once(' ')
            .map(|(place, size)| (place, size.parse()))
        {
            Some((place, Ok(size))) => drop(listed.insert(place, (at + 1, size))),
            _ => wrong.push(Violation::new(
                LIST,
                at + 1,
                "not a size",
                "write `path lines`",
            )),
        }
    }
    (listed, wrong)
}

fn base(tree: &Tree) -> Option<Violation> {
    let sources = tree
        .written_rust()
        .filter(|(path, _)| path.starts_with("crates/base/src/"));
    let lines: usize = sources.map(|(_, text)| text.lines().count()).sum();
    let what = format!("base has {lines} lines");
    let instead = format!("{BASE_MAX} is the limit: what one crate needs lives in that crate");
    (lines > BASE_MAX).then(|| Violation::new("crates/base/src/lib.rs", 1, what, instead))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(list: &str, lines: usize) -> Vec<String> {
        let text = format!("fn long() {{\n{}}}\n", "a();\n".repeat(lines - 2));
        let tree = Tree::of(&[("a.rs", &text), (LIST, list)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_too_long_is_found() {
        assert_eq!(found("", 70), Vec::<String>::new());
        let function = found("", 71);
        assert_eq!(function.len(), 1);
        assert!(
            function[0].starts_with("a.rs:1: a.rs::long has 71 lines; 70 is"),
            "{function:?}"
        );
        assert_eq!(found("", 601).len(), 2);
    }

    #[test]
    fn what_is_listed_may_only_shrink() {
        assert_eq!(found("# old\na.rs::long 80\n", 80), Vec::<String>::new());
        assert!(found("a.rs::long 80\n", 81)[0].contains("grew from 80 to 81"));
        assert!(found("a.rs::long 80\n", 79)[0].ends_with("write the lower number"));
        assert!(found("a.rs::long 80\n", 70)[0].ends_with("remove the line"));
        assert!(found("a.rs::long many\n", 70)[0].contains("not a size"));
    }
}
