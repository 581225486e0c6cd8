//! The rules, checked on this very tree.

use super::*;

#[test]
fn the_house_is_in_order() {
    let all = violations(&Tree::read(&crate::root()).unwrap());
    let shown: Vec<_> = all.iter().map(ToString::to_string).collect();
    assert!(all.is_empty(), "\n{}\n", shown.join("\n"));
}

#[test]
fn a_violation_says_where_what_and_what_to_do() {
    let violation = Violation::new("a.rs", 3, "it is wrong", "make it right");
    assert_eq!(violation.to_string(), "a.rs:3: it is wrong; make it right");
}
