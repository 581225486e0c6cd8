//! The index against a comparison of every binding.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::exchange::bound::Target;
use crate::exchange::{Binding, Destination};
use crate::queue::QueueId;

type Arguments = BTreeMap<String, Match>;

/// Whether a binding's arguments fit, as the rules are told.
fn naive(arguments: &Arguments, headers: &Arguments) -> bool {
    let form = match arguments.get(X_MATCH) {
        Some(Match::Text(form)) => &form[..],
        _ => b"all",
    };
    let with_x = form.ends_with(b"-with-x");
    let mut fit = Vec::new();
    for (name, wanted) in arguments {
        if name == X_MATCH || (!with_x && name.starts_with("x-")) {
            continue;
        }
        let header = headers.get(name);
        fit.push(header.is_some() && (*wanted == Match::Void || header == Some(wanted)));
    }
    if form.starts_with(b"all") {
        fit.iter().all(|fit| *fit)
    } else {
        fit.iter().any(|fit| *fit)
    }
}

fn bound(arguments: &Arguments) -> Arc<Bound> {
    let binding = Binding {
        source: "h".to_owned(),
        destination: Destination::Queue("q".to_owned()),
        key: String::new(),
        arguments: arguments.clone(),
    };
    let target = Target::Queue(Arc::from("q"), QueueId(Uuid::nil()));
    Arc::new(Bound::new(&Arc::from("h"), target, binding, 0))
}

fn value() -> impl Strategy<Value = Match> {
    prop_oneof![
        Just(Match::Void),
        Just(Match::Int(1)),
        Just(Match::Int(2)),
        Just(Match::Float(1.0)),
        Just(Match::Bool(true)),
        Just(Match::Text("1".into())),
    ]
}

fn values() -> impl Strategy<Value = Arguments> {
    let name = prop::sample::select(vec!["a", "b", "c", "x-a", "x-b"]);
    let entry = (name.prop_map(str::to_owned), value());
    prop::collection::btree_map(entry.0, entry.1, 0..4)
}

fn arguments() -> impl Strategy<Value = Arguments> {
    let forms = vec![
        None,
        Some("all"),
        Some("any"),
        Some("all-with-x"),
        Some("any-with-x"),
    ];
    (values(), prop::sample::select(forms)).prop_map(|(mut arguments, form)| {
        if let Some(form) = form {
            arguments.insert(X_MATCH.to_owned(), Match::Text(form.into()));
        }
        arguments
    })
}

fn found(by: &ByHeaders, headers: &Arguments) -> Vec<*const Bound> {
    let mut found = Vec::new();
    by.visit(&|name| headers.get(name).cloned(), &mut |bound| {
        found.push(Arc::as_ptr(bound));
    });
    found.sort_unstable();
    found.dedup();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_look_at_each_finds(
        bindings in prop::collection::vec((arguments(), any::<bool>()), 0..20),
        messages in prop::collection::vec(values(), 1..6),
    ) {
        let mut by = ByHeaders::default();
        let mut kept: Vec<_> = bindings.iter().map(|(arguments, _)| bound(arguments)).collect();
        kept.iter().for_each(|bound| by.insert(bound));
        for round in 0..2 {
            for headers in &messages {
                let fitting = kept.iter().filter(|bound| naive(bound.arguments(), headers));
                let mut expected: Vec<_> = fitting.map(Arc::as_ptr).collect();
                expected.sort_unstable();
                prop_assert_eq!(found(&by, headers), expected, "round {}", round);
            }
            for at in (0..kept.len()).rev().filter(|_| round == 0) {
                if bindings[at].1 {
                    by.remove(&kept.remove(at));
                }
            }
        }
        kept.iter().for_each(|bound| by.remove(bound));
        prop_assert!(by.always.is_empty() && by.names.is_empty(), "{:?}", by);
    }
}
