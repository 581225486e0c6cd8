//! The trie against a matcher that is simple enough to be right.

use proptest::prelude::*;

use super::*;

/// Whether a pattern's words fit a key's, tried out one by one.
fn fits(pattern: &[&[u8]], key: &[&[u8]]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((&b"#", rest)), _) => (0..=key.len()).any(|skipped| fits(rest, &key[skipped..])),
        (Some(_), None) => false,
        (Some((word, rest)), Some((first, behind))) => {
            (*word == b"*" || word == first) && fits(rest, behind)
        }
    }
}

fn naive(patterns: &[String], key: &str) -> Vec<usize> {
    let key: Vec<_> = words(key.as_bytes()).collect();
    let found = patterns.iter().enumerate().filter(|(_, pattern)| {
        let pattern: Vec<_> = words(pattern.as_bytes()).collect();
        fits(&pattern, &key)
    });
    found.map(|(at, _)| at).collect()
}

fn found(trie: &Trie<usize>, key: &str) -> Vec<usize> {
    let mut found = Vec::new();
    trie.visit(key.as_bytes(), &mut |at| found.push(*at));
    found.sort_unstable();
    found
}

fn trie(patterns: &[String]) -> Trie<usize> {
    let mut trie = Trie::default();
    for (at, pattern) in patterns.iter().enumerate() {
        trie.insert(pattern.as_bytes(), at);
    }
    trie
}

fn joined(words: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    let word = prop::sample::select(words);
    prop::collection::vec(word, 0..=most).prop_map(|words| words.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_finds_what_the_simple_matcher_finds(
        patterns in prop::collection::vec(joined(&["a", "b", "", "*", "#", "a*"], 6), 0..24),
        keys in prop::collection::vec(joined(&["a", "b", "c", "", "a*"], 7), 1..8),
        gone in prop::collection::vec(any::<bool>(), 24),
    ) {
        let mut trie = trie(&patterns);
        for key in &keys {
            prop_assert_eq!(found(&trie, key), naive(&patterns, key), "{}", key);
        }
        for (at, pattern) in patterns.iter().enumerate().filter(|(at, _)| gone[*at]) {
            prop_assert!(trie.remove(pattern.as_bytes(), &at));
            prop_assert!(!trie.remove(pattern.as_bytes(), &at));
        }
        for key in &keys {
            let mut left = naive(&patterns, key);
            left.retain(|at| !gone[*at]);
            prop_assert_eq!(found(&trie, key), left, "{}", key);
        }
        for (at, pattern) in patterns.iter().enumerate() {
            trie.remove(pattern.as_bytes(), &at);
        }
        prop_assert!(trie.is_empty(), "{:?}", trie);
    }
}

#[test]
fn the_cases_that_people_ask_about() {
    for (pattern, fits, fits_not) in [
        ("", &[""][..], &["a", "."][..]),
        ("#", &["", "a", "a.b", "..", "."], &[]),
        ("*", &["a", "*"], &["", "a.b"]),
        ("a.*.b", &["a.x.b", "a..b"], &["a.b", "a.x.y.b"]),
        ("a.#.b", &["a.b", "a..b", "a.x.y.b"], &["a", "b"]),
        ("#.#", &["", "a", "a.b.c"], &[]),
        ("#.*", &["a", "a.b", "."], &[""]),
        ("a*", &["a*"], &["ab", "a"]),
        ("a.", &["a."], &["a", "a.b"]),
    ] {
        let trie = trie(&[pattern.to_owned()]);
        for key in fits {
            assert_eq!(found(&trie, key), [0], "{pattern} fits {key}");
        }
        for key in fits_not {
            assert_eq!(found(&trie, key), [0; 0], "{pattern} does not fit {key}");
        }
    }
}

#[test]
fn many_hashes_take_no_exponential_time() {
    let pattern = format!("{}b", "#.a.".repeat(30));
    let trie = trie(&[pattern]);
    // Trying out where each `#` ends would take more than 10^30 steps.
    assert_eq!(found(&trie, &["a"; 127].join(".")), [0; 0]);
    assert_eq!(found(&trie, &format!("{}b", "a.".repeat(126))), [0]);
}

#[test]
fn a_target_that_is_there_twice_leaves_once() {
    let mut trie = trie(&[]);
    trie.insert(b"a.b", 7);
    trie.insert(b"a.b", 7);
    assert!(trie.remove(b"a.b", &7));
    assert_eq!(found(&trie, "a.b"), [7]);
    assert!(!trie.remove(b"a.b", &8) && !trie.remove(b"a", &7) && !trie.remove(b"a.*", &7));
    assert!(trie.remove(b"a.b", &7) && trie.is_empty());
}
