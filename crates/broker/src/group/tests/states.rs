//! Every request in every state.

use super::*;

const UNKNOWN: Result<(), &str> = Err("unknown member");
const AGAIN: Result<(), &str> = Err("rebalance in progress");
const ILLEGAL: Result<(), &str> = Err("illegal generation");

/// A group in which the followers of a stable group of three have still to join anew.
fn preparing() -> (Bench, Vec<String>) {
    let (mut bench, ids) = Bench::stable(3);
    let mut waiting = bench.join(known(&ids[0]));
    assert_eq!(told(&mut waiting), None);
    assert_eq!(bench.group.state, State::PreparingRebalance);
    (bench, ids)
}

/// A group whose leader has still to share out.
fn completing() -> (Bench, Vec<String>) {
    let (mut bench, ids) = preparing();
    for id in &ids[1..] {
        bench.join(known(id));
    }
    assert_eq!(bench.group.state, State::CompletingRebalance);
    (bench, ids)
}

#[test]
fn an_empty_group_takes_joins_and_simple_commits_only() {
    let mut bench = Bench::new();
    assert_eq!(kind(bench.beat("m1")), UNKNOWN);
    assert_eq!(told(&mut bench.sync("m1", &[])), Some(UNKNOWN));
    assert_eq!(kind(bench.leave("m1")), UNKNOWN);
    assert_eq!(kind(bench.commit("", -1)), Ok(()));
    assert_eq!(kind(bench.commit("m1", 0)), UNKNOWN);
    assert_eq!(kind(bench.joined(known("m1"))), UNKNOWN);
    assert_eq!(kind(bench.joined(join())), Ok(()));
    assert_eq!(
        (bench.group.state, bench.group.generation),
        (State::CompletingRebalance, 1)
    );
}

#[test]
fn while_members_are_gathered() {
    let (mut bench, ids) = preparing();
    // The old generation may still say how far it has read, and that it lives.
    assert_eq!(kind(bench.beat(&ids[1])), AGAIN);
    assert_eq!(kind(bench.commit(&ids[1], bench.group.generation)), Ok(()));
    assert_eq!(
        kind(bench.commit(&ids[1], bench.group.generation - 1)),
        ILLEGAL
    );
    assert_eq!(kind(bench.commit("", -1)), UNKNOWN);
    assert_eq!(told(&mut bench.sync(&ids[1], &[])), Some(AGAIN));
    let mut joining = bench.join(known(&ids[1]));
    assert_eq!(told(&mut joining), None);
    assert_eq!(
        kind(bench.leave(&ids[2])),
        Ok(()),
        "it was the last that was waited for"
    );
    assert_eq!(told(&mut joining), Some(Ok(())));
    assert_eq!(bench.group.state, State::CompletingRebalance);
}

#[test]
fn a_beat_while_members_are_gathered_renews_the_session() {
    let (mut bench, ids) = preparing();
    for _ in 0..4 {
        bench.pass(SESSION / 2);
        assert_eq!(kind(bench.beat(&ids[1])), AGAIN);
    }
    assert!(bench.group.members.contains_key(&ids[1]));
    assert!(!bench.group.members.contains_key(&ids[2]), "it was silent");
}

#[test]
fn while_the_leader_shares_out() {
    let (mut bench, ids) = completing();
    let generation = bench.group.generation;
    assert_eq!(kind(bench.beat(&ids[1])), Ok(()));
    assert_eq!(kind(bench.commit(&ids[1], generation)), AGAIN);
    assert_eq!(kind(bench.commit(&ids[1], generation - 1)), ILLEGAL);
    let mut follower = bench.sync(&ids[1], &[]);
    assert_eq!(told(&mut follower), None, "until the leader has shared out");
    // Nothing has changed: the answer is the round that it is in.
    for id in &ids {
        let again = bench.joined(known(id)).unwrap();
        assert_eq!(again.generation, generation);
        assert_eq!(
            again.members.is_empty(),
            *id != ids[0],
            "only the leader gets the list"
        );
    }
    let parts = [(ids[0].as_str(), &b"a"[..]), (&ids[1], b"b")];
    let mut leader = bench.sync(&ids[0], &parts);
    assert_eq!(leader.try_recv().unwrap().unwrap().assignment, "a");
    assert_eq!(follower.try_recv().unwrap().unwrap().assignment, "b");
    assert_eq!(bench.group.state, State::Stable);
    // Whoever the leader forgot has nothing.
    let mut forgotten = bench.sync(&ids[2], &[]);
    assert_eq!(forgotten.try_recv().unwrap().unwrap().assignment, "");
}

#[test]
fn a_new_round_while_the_leader_shares_out_sends_everybody_back() {
    for cause in ["a newcomer", "changed data", "a leaver"] {
        let (mut bench, ids) = completing();
        let mut follower = bench.sync(&ids[1], &[]);
        match cause {
            "a newcomer" => drop(bench.join(join())),
            "changed data" => {
                let mut changed = known(&ids[2]);
                changed.protocols[0].1 = Bytes::from_static(b"other topics");
                drop(bench.join(changed));
            }
            _ => bench.leave(&ids[2]).unwrap(),
        }
        assert_eq!(told(&mut follower), Some(AGAIN), "{cause}");
        assert_eq!(bench.group.state, State::PreparingRebalance, "{cause}");
    }
}

#[test]
fn when_everybody_has_its_part() {
    let (mut bench, ids) = Bench::stable(2);
    let generation = bench.group.generation;
    assert_eq!(kind(bench.beat(&ids[1])), Ok(()));
    assert_eq!(kind(bench.commit(&ids[1], generation)), Ok(()));
    assert_eq!(kind(bench.commit(&ids[1], generation + 1)), ILLEGAL);
    assert_eq!(kind(bench.commit("nobody", generation)), UNKNOWN);
    assert_eq!(
        kind(bench.commit("", -1)),
        UNKNOWN,
        "the group is not for simple consumers now"
    );
    assert_eq!(told(&mut bench.sync(&ids[1], &[])), Some(Ok(())));
    // A follower whose data has not changed goes on.
    assert_eq!(bench.joined(known(&ids[1])).unwrap().generation, generation);
    assert_eq!(bench.group.state, State::Stable);
    // The leader always begins a round: it may know of new partitions.
    let mut leader = bench.join(known(&ids[0]));
    assert_eq!(
        (told(&mut leader), bench.group.state),
        (None, State::PreparingRebalance)
    );
}

#[test]
fn changed_data_of_a_follower_and_a_leaver_begin_a_round() {
    let (mut bench, ids) = Bench::stable(2);
    let mut changed = known(&ids[1]);
    changed.protocols[0].1 = Bytes::from_static(b"other topics");
    assert_eq!(told(&mut bench.join(changed)), None);
    assert_eq!(bench.group.state, State::PreparingRebalance);
    let (mut bench, ids) = Bench::stable(2);
    bench.leave(&ids[0]).unwrap();
    assert_eq!(bench.group.state, State::PreparingRebalance);
    let rest = bench.joined(known(&ids[1])).unwrap();
    assert_eq!((rest.leader, rest.members.len()), (ids[1].clone(), 1));
}

#[test]
fn the_last_leaver_empties_the_group_and_that_is_saved() {
    let (mut bench, ids) = Bench::stable(1);
    bench.leave(&ids[0]).unwrap();
    assert!(bench.save);
    assert_eq!(bench.group.state, State::Empty);
    assert_eq!((bench.group.generation, &bench.group.leader), (2, &None));
    assert_eq!(bench.group.deadline(), None, "nothing is waited for");
}

#[test]
fn a_sync_says_what_it_thinks_the_group_does() {
    let (mut bench, ids) = completing();
    let sync = |kind: &str, protocol: &str| Sync {
        generation: bench.group.generation,
        member_id: ids[1].clone(),
        protocol_type: Some(kind.into()),
        protocol: Some(protocol.into()),
        ..Sync::default()
    };
    let wrong = [sync("connect", "range"), sync("consumer", "roundrobin")];
    let right = sync("consumer", "range");
    for wrong in wrong {
        assert_eq!(
            told(&mut bench.sync_as(wrong)),
            Some(Err("inconsistent protocol"))
        );
    }
    assert_eq!(told(&mut bench.sync_as(right)), None);
    let old = Sync {
        generation: bench.group.generation - 1,
        member_id: ids[1].clone(),
        ..Sync::default()
    };
    assert_eq!(told(&mut bench.sync_as(old)), Some(ILLEGAL));
}

#[test]
fn an_assignment_that_cannot_be_saved_begins_a_new_round() {
    let (mut bench, ids) = completing();
    let mut follower = bench.sync(&ids[1], &[]);
    let (sender, mut leader) = oneshot::channel();
    let sync = Sync {
        generation: bench.group.generation,
        member_id: ids[0].clone(),
        ..Sync::default()
    };
    let SyncStep::Save { generation } = bench.group.sync(sync, sender, bench.now) else {
        panic!("the leader shares out")
    };
    assert!(leader.try_recv().is_err(), "not before it is saved");
    let failed = Err(GroupError::Unavailable("the disk is full".into()));
    bench.group.shared_out(generation, failed, bench.now);
    assert!(matches!(
        leader.try_recv(),
        Ok(Err(GroupError::Unavailable(_)))
    ));
    assert!(matches!(
        follower.try_recv(),
        Ok(Err(GroupError::Unavailable(_)))
    ));
    assert_eq!(bench.group.state, State::PreparingRebalance);
}
