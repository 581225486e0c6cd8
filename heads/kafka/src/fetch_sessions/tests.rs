//! Incremental fetch sessions, request by request (KIP-227).

use super::*;

fn sessions(max: usize) -> (FetchSessions, Instant) {
    limited(Limits {
        sessions: max,
        partitions: 100,
        bytes: 1 << 20,
    })
}

fn limited(limits: Limits) -> (FetchSessions, Instant) {
    (
        FetchSessions::new(limits, Rng::seeded(7)),
        base::Clock::manual(0).now(),
    )
}

fn key(partition: i32) -> Key {
    (TopicKey::Name(Arc::from("orders")), partition)
}

fn wanted(from: i64) -> Wanted {
    Wanted {
        from,
        max_bytes: 1024,
        epoch: None,
    }
}

fn ask(id: i32, epoch: i32, partitions: &[i32], forgotten: &[i32]) -> Asked {
    Asked {
        id,
        epoch,
        by_id: false,
        wanted: partitions.iter().map(|p| (key(*p), wanted(0))).collect(),
        forgotten: forgotten.iter().map(|p| key(*p)).collect(),
    }
}

fn outcome(end: i64, has_records: bool) -> Outcome {
    Outcome {
        end,
        start: 0,
        has_records,
        failed: false,
    }
}

fn partitions(fetch: &Fetch) -> Vec<i32> {
    fetch
        .parts
        .iter()
        .map(|((_, partition), _)| *partition)
        .collect()
}

#[test]
fn an_incremental_fetch_reads_all_and_names_what_changed() {
    let (sessions, now) = sessions(10);
    let full = sessions.begin(ask(0, 0, &[0, 1], &[]), now).unwrap();
    assert!(full.id > 0);
    assert!(full.tell(&key(0), outcome(5, false)) && full.tell(&key(1), outcome(5, false)));
    let next = sessions.begin(ask(full.id, 1, &[], &[]), now).unwrap();
    assert_eq!(partitions(&next), [0, 1]);
    assert!(!next.tell(&key(0), outcome(5, false)), "nothing new");
    assert!(next.tell(&key(1), outcome(6, false)), "the end moved");
}

#[test]
fn what_was_served_goes_to_the_back() {
    let (sessions, now) = sessions(10);
    let full = sessions.begin(ask(0, 0, &[0, 1, 2], &[]), now).unwrap();
    full.tell(&key(0), outcome(1, true));
    let next = sessions.begin(ask(full.id, 1, &[], &[]), now).unwrap();
    assert_eq!(partitions(&next), [1, 2, 0]);
}

#[test]
fn a_failed_partition_is_named_again() {
    let (sessions, now) = sessions(10);
    let full = sessions.begin(ask(0, 0, &[0], &[]), now).unwrap();
    let failed = Outcome {
        end: -1,
        start: -1,
        has_records: false,
        failed: true,
    };
    assert!(full.tell(&key(0), failed));
    let next = sessions.begin(ask(full.id, 1, &[], &[]), now).unwrap();
    assert!(next.tell(&key(0), failed), "errors are always named");
    let next = sessions.begin(ask(full.id, 2, &[], &[]), now).unwrap();
    assert!(next.tell(&key(0), outcome(3, false)));
}

#[test]
fn requests_add_change_and_forget() {
    let (sessions, now) = sessions(10);
    let id = sessions.begin(ask(0, 0, &[0, 1], &[]), now).unwrap().id;
    let next = sessions.begin(ask(id, 1, &[2], &[0]), now).unwrap();
    assert_eq!(partitions(&next), [1, 2]);
    let next = sessions.begin(ask(id, 2, &[], &[1, 2]), now).unwrap();
    assert_eq!(
        (next.id, next.parts.len(), sessions.len()),
        (0, 0, 0),
        "an emptied session ends"
    );
}

#[test]
fn epochs_must_follow_each_other() {
    let (sessions, now) = sessions(10);
    let id = sessions.begin(ask(0, 0, &[0], &[]), now).unwrap().id;
    let wrong = sessions.begin(ask(id, 2, &[], &[]), now).unwrap_err();
    assert_eq!(wrong, Problem::WrongEpoch);
    assert!(sessions.begin(ask(id, 1, &[], &[]), now).is_ok());
    assert_eq!(
        sessions.begin(ask(id, 1, &[], &[]), now).unwrap_err(),
        Problem::WrongEpoch
    );
    assert_eq!(
        sessions.begin(ask(id + 1, 1, &[], &[]), now).unwrap_err(),
        Problem::NotFound
    );
    assert_eq!(
        sessions.begin(ask(0, 1, &[], &[]), now).unwrap_err(),
        Problem::NotFound
    );
}

#[test]
fn names_and_ids_do_not_mix() {
    let (sessions, now) = sessions(10);
    let id = sessions.begin(ask(0, 0, &[0], &[]), now).unwrap().id;
    let mixed = Asked {
        by_id: true,
        ..ask(id, 1, &[1], &[])
    };
    assert_eq!(sessions.begin(mixed, now).unwrap_err(), Problem::MixedKeys);
}

#[test]
fn closing_and_sessionless_fetches() {
    let (sessions, now) = sessions(10);
    let id = sessions.begin(ask(0, 0, &[0], &[]), now).unwrap().id;
    let last = sessions.begin(ask(id, -1, &[0], &[]), now).unwrap();
    assert_eq!((last.id, sessions.len()), (0, 0));
    assert!(
        last.tell(&key(0), outcome(0, false)),
        "a full answer names everything"
    );
    assert!(last.tell(&key(0), outcome(0, false)));
}

#[test]
fn a_full_table_keeps_the_busy_and_the_large() {
    let (sessions, now) = sessions(2);
    let small = sessions.begin(ask(0, 0, &[0], &[]), now).unwrap().id;
    let large = sessions.begin(ask(0, 0, &[0, 1, 2], &[]), now).unwrap().id;
    assert_eq!(
        sessions.begin(ask(0, 0, &[0], &[]), now).unwrap().id,
        0,
        "no place"
    );
    let medium = sessions.begin(ask(0, 0, &[0, 1], &[]), now).unwrap().id;
    assert!(medium > 0, "it takes the small one's place");
    assert_eq!(
        sessions.begin(ask(small, 1, &[], &[]), now).unwrap_err(),
        Problem::NotFound
    );
    let later = now + IDLE + Duration::from_secs(1);
    assert!(sessions.begin(ask(large, 1, &[], &[]), later).is_ok());
    assert!(
        sessions.begin(ask(0, 0, &[0], &[]), later).unwrap().id > 0,
        "the silent one goes"
    );
    assert!(sessions.begin(ask(large, 2, &[], &[]), later).is_ok());
}

#[test]
fn what_sessions_remember_is_bounded_and_given_back() {
    let (sessions, now) = limited(Limits {
        sessions: 100,
        partitions: 100,
        bytes: 20_000,
    });
    let named = |name: &str| Asked {
        wanted: vec![((TopicKey::Name(Arc::from(name)), 0), wanted(0))],
        ..ask(0, 0, &[], &[])
    };
    let long = "x".repeat(9000);
    let first = sessions.begin(named(&long), now).unwrap().id;
    let second = sessions.begin(named(&long), now).unwrap().id;
    assert!(first > 0 && second > 0);
    assert_eq!(sessions.begin(named(&long), now).unwrap().id, 0, "no room");
    // One that grows past the limit is over.
    let grown = Asked {
        id: second,
        epoch: 1,
        ..named(&"y".repeat(9000))
    };
    assert_eq!(sessions.begin(grown, now).unwrap_err(), Problem::NotFound);
    assert!(sessions.begin(named(&long), now).unwrap().id > 0);
    let closed = sessions.begin(ask(first, -1, &[], &[]), now).unwrap();
    assert_eq!(closed.id, 0);
    assert!(sessions.begin(named(&long), now).unwrap().id > 0);
}
