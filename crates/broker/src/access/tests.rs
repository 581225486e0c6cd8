//! Permissions as their users know them.

use base::{Metrics, Rng};

use super::*;

fn access() -> Access {
    let meta = Meta::in_memory(Rng::seeded(1)).unwrap();
    for user in ["anna", "bob"] {
        meta.change_users(vec![(user.to_owned(), UserChange::NoPassword)])
            .unwrap();
    }
    Access::new(&meta, &Metrics::default())
}

fn grant(access: &Access, user: &str, configure: &str, write: &str, read: &str) {
    let permission = Permission {
        configure: configure.to_owned(),
        write: write.to_owned(),
        read: read.to_owned(),
    };
    let change = UserChange::Permission("/".to_owned(), Some(permission));
    access.change(vec![(user.to_owned(), change)]).unwrap();
}

#[test]
fn patterns_are_looked_for_anywhere_and_the_empty_one_fits_the_empty_name() {
    let access = access();
    grant(&access, "anna", "^a", "mid", "");
    let may = |right, name| access.may("anna", "/", right, name);
    assert!(may(Right::Configure, "abc") && !may(Right::Configure, "bca"));
    assert!(may(Right::Write, "a mid b") && !may(Right::Write, "b"));
    assert!(may(Right::Read, "") && !may(Right::Read, "a"));
    assert_eq!(access.0.metrics.denied.get(), 3);
}

#[test]
fn who_has_no_permission_may_nothing() {
    let access = access();
    grant(&access, "anna", ".*", ".*", ".*");
    assert!(access.may_enter("anna", "/"));
    for (user, namespace) in [("anna", "other"), ("bob", "/"), ("nobody", "/")] {
        assert!(!access.may_enter(user, namespace), "{user}");
        assert!(!access.may(user, namespace, Right::Read, "a"), "{user}");
    }
}

#[test]
fn a_change_counts_at_once() {
    let access = access();
    grant(&access, "anna", "^a", "", "");
    assert!(access.may("anna", "/", Right::Configure, "a"));
    grant(&access, "anna", "^b", "", "");
    assert!(!access.may("anna", "/", Right::Configure, "a"));
    let take = UserChange::Permission("/".to_owned(), None);
    access.change(vec![("anna".to_owned(), take)]).unwrap();
    assert!(!access.may("anna", "/", Right::Configure, "b"));
}

#[test]
fn keys_are_free_until_somebody_says_otherwise() {
    let access = access();
    let at = ("/", "logs");
    let may = |right, key: &str| {
        let variables = [("username", "a.b"), ("client_id", "7")];
        access.may_use_key("anna", at, right, key, &variables)
    };
    assert!(may(Right::Write, "x") && may(Right::Read, "x"));
    let topic = TopicPermission {
        write: "^{username}[.]{client_id}[.]x{2}$".to_owned(),
        read: String::new(),
    };
    let change = UserChange::Topic("/".to_owned(), "logs".to_owned(), Some(topic));
    access.change(vec![("anna".to_owned(), change)]).unwrap();
    assert!(may(Right::Write, "a.b.7.xx"));
    assert!(!may(Right::Write, "a-b.7.xx"), "a value is no pattern");
    assert!(!may(Right::Read, "x"));
    assert!(access.may_use_key("bob", at, Right::Write, "x", &[]));
}

#[test]
fn what_cannot_be_compiled_is_refused_and_changes_nothing() {
    let access = access();
    grant(&access, "anna", "^a", "", "");
    let long = "a".repeat(PATTERN_MAX + 1);
    for bad in ["(", "(?=a)", r"(a)\1", "(((a{100}){100}){100})", &long] {
        let permission = Permission {
            configure: "^b".to_owned(),
            write: bad.to_owned(),
            read: String::new(),
        };
        let change = UserChange::Permission("/".to_owned(), Some(permission));
        let refused = access.change(vec![("anna".to_owned(), change)]);
        assert!(matches!(refused, Err(Error::InvalidRequest(_))), "{bad}");
    }
    assert!(access.may("anna", "/", Right::Configure, "a"));
}

#[test]
fn what_is_remembered_is_bounded() {
    let access = access();
    let topic = TopicPermission {
        write: "^{client_id}$".to_owned(),
        read: String::new(),
    };
    let change = UserChange::Topic("/".to_owned(), "logs".to_owned(), Some(topic));
    access.change(vec![("anna".to_owned(), change)]).unwrap();
    for n in 0..COMPILED_MAX + 10 {
        let id = n.to_string();
        let variables = [("client_id", id.as_str())];
        assert!(access.may_use_key("anna", ("/", "logs"), Right::Write, &id, &variables));
    }
    assert!(access.0.compiled.read().keys.len() <= COMPILED_MAX);
}
