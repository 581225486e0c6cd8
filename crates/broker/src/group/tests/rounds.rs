//! How a round begins, how long it waits, and what it decides.

use super::*;

#[test]
fn the_first_round_waits_for_others_and_is_drawn_out_by_each() {
    let mut bench = Bench::new();
    bench.delay = DELAY;
    let mut first = bench.join(join());
    bench.pass(DELAY - Duration::from_millis(1));
    let mut second = bench.join(join());
    assert_eq!((told(&mut first), told(&mut second)), (None, None));
    // Somebody came: once more the delay from where it would have ended.
    bench.pass(DELAY);
    assert_eq!(told(&mut first), None);
    bench.pass(Duration::from_millis(1));
    assert_eq!(
        (told(&mut first), told(&mut second)),
        (Some(Ok(())), Some(Ok(())))
    );
    assert_eq!(bench.group.members.len(), 2);
}

#[test]
fn the_first_round_is_not_drawn_out_past_the_rebalance_timeout() {
    let mut bench = Bench::new();
    bench.delay = DELAY;
    let short = Join {
        rebalance_timeout: DELAY * 2,
        ..join()
    };
    let mut first = bench.join(short.clone());
    for _ in 0..7 {
        bench.join(short.clone());
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(told(&mut first), Some(Ok(())));
}

#[test]
fn a_first_round_whose_members_all_left_leaves_nothing_behind() {
    let mut bench = Bench::new();
    bench.delay = DELAY;
    let mut joining = bench.join(join());
    bench.leave("m1").unwrap();
    assert_eq!(told(&mut joining), Some(Err("unknown member")));
    assert_eq!(
        (bench.group.state, bench.group.deadline()),
        (State::Empty, None)
    );
}

#[test]
fn a_later_round_begins_as_soon_as_all_have_joined() {
    let (mut bench, ids) = Bench::stable(2);
    bench.delay = DELAY;
    let mut newcomer = bench.join(join());
    let mut leader = bench.join(known(&ids[0]));
    assert_eq!(told(&mut newcomer), None);
    let mut last = bench.join(known(&ids[1]));
    let all = [told(&mut newcomer), told(&mut leader), told(&mut last)];
    assert_eq!(all, [Some(Ok(())); 3]);
}

#[test]
fn who_does_not_join_in_the_rebalance_timeout_is_out() {
    let (mut bench, ids) = Bench::stable(2);
    let mut leader = bench.join(known(&ids[0]));
    // It beats, but does not join.
    for _ in 0..12 {
        bench.pass(REBALANCE / 12 - Duration::from_millis(1));
        assert_eq!(told(&mut leader), None);
        let _ = bench.beat(&ids[1]);
    }
    bench.pass(Duration::from_millis(12));
    assert_eq!(told(&mut leader), Some(Ok(())));
    assert_eq!(kind(bench.beat(&ids[1])), Err("unknown member"));
}

#[test]
fn the_longest_rebalance_timeout_of_the_members_counts() {
    let (mut bench, ids) = Bench::stable(1);
    let patient = Join {
        rebalance_timeout: REBALANCE * 2,
        ..join()
    };
    let mut newcomer = bench.join(patient);
    for _ in 0..15 {
        bench.pass(REBALANCE / 10);
        let _ = bench.beat(&ids[0]);
    }
    assert_eq!(told(&mut newcomer), None);
    bench.pass(REBALANCE / 2);
    assert_eq!(told(&mut newcomer), Some(Ok(())));
}

#[test]
fn who_does_not_ask_for_its_part_in_time_is_out_and_the_others_begin_anew() {
    let (mut bench, ids) = Bench::stable(2);
    bench.join(known(&ids[0]));
    bench.join(known(&ids[1]));
    let mut synced = bench.sync(&ids[0], &[]);
    assert_eq!(
        (told(&mut synced), bench.group.state),
        (Some(Ok(())), State::Stable)
    );
    for _ in 0..20 {
        bench.pass(REBALANCE / 20);
        let _ = (bench.beat(&ids[0]), bench.beat(&ids[1]));
    }
    assert!(!bench.group.members.contains_key(&ids[1]));
    assert_eq!(bench.group.state, State::PreparingRebalance);
}

#[test]
fn a_leader_that_shares_nothing_out_is_replaced() {
    let (mut bench, ids) = Bench::stable(2);
    bench.join(known(&ids[0]));
    bench.join(known(&ids[1]));
    let mut follower = bench.sync(&ids[1], &[]);
    for _ in 0..20 {
        bench.pass(REBALANCE / 20);
        let _ = bench.beat(&ids[0]);
    }
    assert_eq!(told(&mut follower), Some(Err("rebalance in progress")));
    let next = bench.joined(known(&ids[1])).unwrap();
    assert_eq!((next.leader, next.members.len()), (ids[1].clone(), 1));
}

#[test]
fn the_leader_stays_the_leader() {
    let (mut bench, ids) = Bench::stable(3);
    bench.group.leader = Some(ids[2].clone());
    for id in ids.iter().rev() {
        bench.join(known(id));
    }
    assert_eq!(bench.group.leader.as_ref(), Some(&ids[2]));
    assert_eq!(bench.group.generation, 4);
}

#[test]
fn the_protocol_is_one_that_all_know_and_most_prefer() {
    let mut bench = Bench::new();
    bench.delay = DELAY;
    let ways: [&[&str]; 3] = [
        &["range", "sticky", "roundrobin"],
        &["sticky", "roundrobin"],
        &["odd", "roundrobin", "sticky"],
    ];
    let mut replies = ways.map(|names| bench.join(knowing(names)));
    bench.pass(DELAY * 2);
    for reply in &mut replies {
        let joined = reply.try_recv().unwrap().unwrap();
        // `range` and `odd` are not known to all; of the others each votes for its first.
        assert_eq!(joined.protocol.as_deref(), Some("sticky"));
    }
}

#[test]
fn who_shares_no_protocol_or_type_with_the_group_stays_out() {
    let inconsistent = Err("inconsistent protocol");
    let (mut bench, _) = Bench::stable(1);
    assert_eq!(kind(bench.joined(knowing(&["sticky"]))), inconsistent);
    let connect = Join {
        protocol_type: "connect".into(),
        ..join()
    };
    assert_eq!(kind(bench.joined(connect)), inconsistent);
    assert_eq!(kind(bench.joined(knowing(&[]))), inconsistent);
    let nameless = Join {
        protocol_type: String::new(),
        ..join()
    };
    assert_eq!(kind(Bench::new().joined(nameless)), inconsistent);
    assert_eq!(bench.group.state, State::Stable, "nobody was disturbed");
}

#[test]
fn a_kind_of_group_nobody_has_heard_of_is_as_good_as_any() {
    let mut bench = Bench::new();
    let connect = Join {
        protocol_type: "connect".into(),
        protocols: vec![("compatible".into(), Bytes::from_static(&[0xff, 0, 1]))],
        ..join()
    };
    let joined = bench.joined(connect).unwrap();
    assert_eq!(joined.protocol_type.as_deref(), Some("connect"));
    assert_eq!(joined.members[0].metadata, [0xff, 0, 1][..]);
}

/// Two rounds as the cooperative protocol plays them: a member gives up a part in the first, and
/// joins again at once with other data so that somebody else gets it in the second.
#[test]
fn a_cooperative_handover_takes_two_rounds() {
    let (mut bench, ids) = Bench::stable(1);
    let mut newcomer = bench.join(join());
    bench.joined(known(&ids[0])).unwrap();
    let newcomer = newcomer.try_recv().unwrap().unwrap().member_id;
    let mut waiting = bench.sync(&newcomer, &[]);
    bench.sync(&ids[0], &[(&ids[0], b"0")]);
    assert_eq!(waiting.try_recv().unwrap().unwrap().assignment, "");
    let mut gave_up = known(&ids[0]);
    gave_up.protocols[0].1 = Bytes::from_static(b"topics, owns 0");
    let mut leader = bench.join(gave_up);
    assert_eq!(kind(bench.beat(&newcomer)), Err("rebalance in progress"));
    bench.joined(known(&newcomer)).unwrap();
    let members = leader.try_recv().unwrap().unwrap().members;
    assert!(members.iter().any(|m| m.metadata == "topics, owns 0"));
    let mut waiting = bench.sync(&newcomer, &[]);
    bench.sync(&ids[0], &[(&ids[0], b"0"), (&newcomer, b"1")]);
    assert_eq!(waiting.try_recv().unwrap().unwrap().assignment, "1");
}
