//! Members that keep their place (KIP-345, KIP-814).

use super::*;

/// A stable group of a static leader `a` and a static follower `b`: their ids.
fn two() -> (Bench, String, String) {
    let mut bench = Bench::new();
    bench.delay = DELAY;
    let mut replies = [bench.join(fixed("a")), bench.join(fixed("b"))];
    bench.pass(DELAY * 2);
    let [a, b] = replies
        .each_mut()
        .map(|reply| reply.try_recv().unwrap().unwrap().member_id);
    assert_eq!(bench.group.leader.as_ref(), Some(&a));
    bench.sync(&b, &[]);
    bench.sync(&a, &[(&a, b"0"), (&b, b"1")]);
    assert_eq!(bench.group.state, State::Stable);
    (bench, a, b)
}

#[test]
fn a_static_member_needs_no_id_first() {
    let asks = Join {
        require_member_id: true,
        ..fixed("a")
    };
    assert_eq!(kind(Bench::new().joined(asks)), Ok(()));
}

#[test]
fn who_comes_back_gets_its_part_without_a_round() {
    let (mut bench, a, b) = two();
    let back = bench.joined(fixed("b")).unwrap();
    assert!(bench.save, "its new id has to survive");
    assert_ne!(back.member_id, b);
    assert_eq!((back.generation, &back.leader), (1, &a));
    assert_eq!(bench.group.state, State::Stable);
    let mut sync = bench.sync(&back.member_id, &[]);
    assert_eq!(sync.try_recv().unwrap().unwrap().assignment, "1");
    // Whoever still uses the old id is told why it may not.
    let beat = bench.group.heartbeat(&b, Some("b"), 1, bench.now);
    assert_eq!(kind(beat), Err("fenced instance"));
    assert_eq!(kind(bench.beat(&b)), Err("unknown member"));
    let old = Join {
        member_id: b,
        ..fixed("b")
    };
    assert_eq!(kind(bench.joined(old)), Err("fenced instance"));
}

#[test]
fn a_leader_that_comes_back_need_not_share_out() {
    let (mut bench, a, _) = two();
    let back = bench.joined(fixed("a")).unwrap();
    assert!(back.skip_assignment);
    assert_eq!(back.leader, back.member_id);
    assert_eq!(back.members.len(), 2, "it still watches over the group");
    // A client that does not know of that is told that somebody else leads.
    let (mut bench, old_id) = (two().0, a);
    let older = Join {
        can_skip_assignment: false,
        ..fixed("a")
    };
    let back = bench.joined(older).unwrap();
    assert!(!back.skip_assignment && back.members.is_empty());
    assert_eq!(back.leader, old_id);
}

/// A cooperative consumer says in its data what it owns: after a restart that is nothing.
#[test]
fn other_data_after_a_restart_is_no_reason_for_a_round() {
    let (mut bench, ..) = two();
    let mut restarted = fixed("b");
    restarted.protocols[0].1 = Bytes::from_static(b"topics, owns nothing");
    assert_eq!(kind(bench.joined(restarted)), Ok(()));
    assert_eq!(bench.group.state, State::Stable);
}

#[test]
fn another_protocol_after_a_restart_is() {
    let mut bench = Bench::new();
    let both = Join {
        instance_id: Some("a".into()),
        ..knowing(&["range", "sticky"])
    };
    let a = bench.joined(both).unwrap().member_id;
    bench.sync(&a, &[]);
    let changed = Join {
        instance_id: Some("a".into()),
        ..knowing(&["sticky", "range"])
    };
    let back = bench.joined(changed).unwrap();
    assert_eq!(
        (back.generation, back.protocol.as_deref()),
        (2, Some("sticky"))
    );
}

#[test]
fn a_restart_shorter_than_the_session_is_not_noticed_and_a_longer_one_is() {
    let (mut bench, a, _) = two();
    bench.pass(SESSION - Duration::from_millis(1));
    bench.beat(&a).unwrap();
    assert_eq!(bench.group.state, State::Stable);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.group.state, State::PreparingRebalance);
    assert_eq!(bench.group.members.len(), 1);
}

#[test]
fn who_is_away_while_a_round_ends_keeps_its_place_until_its_session_ends() {
    let mut bench = Bench::new();
    bench.delay = DELAY;
    let long = Join {
        session_timeout: REBALANCE * 10,
        ..fixed("away")
    };
    let mut replies = [bench.join(fixed("a")), bench.join(long)];
    bench.pass(DELAY * 2);
    let [a, away] = replies
        .each_mut()
        .map(|reply| reply.try_recv().unwrap().unwrap().member_id);
    bench.sync(&away, &[]);
    bench.sync(&a, &[]);
    let mut leader = bench.join(known(&a));
    bench.pass(REBALANCE);
    let joined = leader.try_recv().unwrap().unwrap();
    assert_eq!(joined.members.len(), 2, "its part is kept for it");
}

/// A round in which nobody joins decides nothing: there would be no leader to share out.
#[test]
fn a_round_that_nobody_joins_goes_on() {
    let mut bench = Bench::new();
    bench.delay = DELAY;
    let long = |instance: &str| Join {
        session_timeout: REBALANCE * 10,
        ..fixed(instance)
    };
    let mut replies = [
        bench.join(long("a")),
        bench.join(long("b")),
        bench.join(join()),
    ];
    bench.pass(DELAY * 2);
    let ids = replies
        .each_mut()
        .map(|reply| reply.try_recv().unwrap().unwrap().member_id);
    for id in ids.iter().rev() {
        bench.sync(id, &[]);
    }
    let leader = bench.group.leader.clone().unwrap();
    bench.sync(&leader, &[]);
    assert_eq!(bench.group.state, State::Stable);
    // The dynamic member falls silent, and the static ones are away for a while.
    bench.pass(SESSION);
    assert_eq!(bench.group.state, State::PreparingRebalance);
    bench.pass(REBALANCE * 2);
    assert_eq!(
        (bench.group.state, bench.group.generation),
        (State::PreparingRebalance, 1)
    );
    assert_eq!(bench.group.members.len(), 2);
    let mut back = bench.join(known(&ids[0]));
    bench.pass(REBALANCE);
    assert_eq!(back.try_recv().unwrap().unwrap().generation, 2);
}

#[test]
fn a_static_member_leaves_by_its_instance_or_not_at_all() {
    let (mut bench, a, b) = two();
    let leave = |bench: &mut Bench, member: &str, instance: &str| {
        let leaving = Leaving {
            member_id: member.into(),
            instance_id: Some(instance.into()),
        };
        kind(bench.group.leave(&leaving, bench.now))
    };
    assert_eq!(leave(&mut bench, "", "nobody"), Err("unknown member"));
    assert_eq!(leave(&mut bench, &a, "b"), Err("fenced instance"));
    // An administrator names the instance only.
    assert_eq!(leave(&mut bench, "", "b"), Ok(()));
    assert!(!bench.group.members.contains_key(&b));
    assert_eq!(bench.group.state, State::PreparingRebalance);
}

#[test]
fn an_instance_that_nobody_has_is_nobody() {
    let (mut bench, a, _) = two();
    let beat = bench.group.heartbeat(&a, Some("c"), 1, bench.now);
    assert_eq!(kind(beat), Err("unknown member"));
    let beat = bench.group.heartbeat(&a, Some("a"), 1, bench.now);
    assert_eq!(kind(beat), Ok(()));
    let stranger = Join {
        member_id: a,
        ..fixed("c")
    };
    assert_eq!(kind(bench.joined(stranger)), Err("unknown member"));
}

#[test]
fn who_waits_is_told_when_its_place_is_taken() {
    let (mut bench, a, b) = two();
    let mut leader = bench.join(known(&a));
    let waiting = Join {
        member_id: b,
        ..fixed("b")
    };
    // All have joined; now the follower waits for its part.
    bench.joined(waiting).unwrap();
    assert_eq!(told(&mut leader), Some(Ok(())));
    let follower = bench.group.instances.get("b").cloned().unwrap();
    let mut sync = bench.sync(&follower, &[]);
    assert_eq!(told(&mut sync), None);
    let mut back = bench.join(fixed("b"));
    assert_eq!(told(&mut sync), Some(Err("fenced instance")));
    assert_eq!(told(&mut back), None, "a new round is gathered");
}
