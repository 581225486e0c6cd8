//! Ids, sessions, places.

use super::*;

#[test]
fn a_new_member_is_sent_back_with_an_id_where_the_client_knows_of_that() {
    let mut bench = Bench::new();
    let asks = Join {
        require_member_id: true,
        ..join()
    };
    let Err(GroupError::MemberIdRequired(id)) = bench.joined(asks.clone()) else {
        panic!("an id is given first")
    };
    assert_eq!(
        (bench.group.state, bench.group.members.len()),
        (State::Empty, 0)
    );
    let joined = bench
        .joined(Join {
            member_id: id.clone(),
            ..asks
        })
        .unwrap();
    assert_eq!(joined.member_id, id);
}

#[test]
fn an_id_that_is_not_used_in_a_session_timeout_is_worth_nothing() {
    let mut bench = Bench::new();
    let asks = Join {
        require_member_id: true,
        ..join()
    };
    let Err(GroupError::MemberIdRequired(id)) = bench.joined(asks) else {
        panic!("an id is given first")
    };
    bench.pass(SESSION);
    assert_eq!(kind(bench.joined(known(&id))), Err("unknown member"));
    assert_eq!(bench.group.deadline(), None);
}

#[test]
fn a_round_waits_for_ids_that_were_given_out() {
    let (mut bench, ids) = Bench::stable(1);
    let asks = Join {
        require_member_id: true,
        ..join()
    };
    let Err(GroupError::MemberIdRequired(id)) = bench.joined(asks) else {
        panic!("an id is given first")
    };
    let mut leader = bench.join(known(&ids[0]));
    assert_eq!(told(&mut leader), None);
    let mut newcomer = bench.join(known(&id));
    assert_eq!(
        (told(&mut leader), told(&mut newcomer)),
        (Some(Ok(())), Some(Ok(())))
    );
    assert_eq!(bench.group.members.len(), 2);
}

#[test]
fn a_round_does_not_wait_for_an_id_that_was_given_back_or_ran_out() {
    for gives_back in [true, false] {
        let (mut bench, ids) = Bench::stable(1);
        let asks = Join {
            require_member_id: true,
            ..join()
        };
        let Err(GroupError::MemberIdRequired(id)) = bench.joined(asks) else {
            panic!("an id is given first")
        };
        let mut leader = bench.join(known(&ids[0]));
        assert_eq!(told(&mut leader), None);
        if gives_back {
            bench.leave(&id).unwrap();
        } else {
            bench.pass(SESSION);
        }
        assert_eq!(told(&mut leader), Some(Ok(())));
    }
}

#[test]
fn an_id_given_out_late_in_a_round_outlives_it() {
    let (mut bench, ids) = Bench::stable(2);
    let mut leader = bench.join(known(&ids[0]));
    for _ in 0..59 {
        bench.pass(Duration::from_secs(1));
        let _ = bench.beat(&ids[1]);
    }
    let asks = Join {
        require_member_id: true,
        ..join()
    };
    let Err(GroupError::MemberIdRequired(id)) = bench.joined(asks) else {
        panic!("an id is given first")
    };
    bench.pass(Duration::from_secs(1));
    assert_eq!(told(&mut leader), Some(Ok(())), "the round's time is over");
    assert_eq!(told(&mut bench.join(known(&id))), None, "it joins the next");
}

#[test]
fn a_silent_member_is_out_after_its_session_timeout_and_not_before() {
    let (mut bench, ids) = Bench::stable(2);
    bench.pass(SESSION - Duration::from_millis(1));
    bench.beat(&ids[0]).unwrap();
    assert_eq!(bench.group.state, State::Stable);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.group.state, State::PreparingRebalance);
    assert_eq!(kind(bench.beat(&ids[1])), Err("unknown member"));
}

#[test]
fn commits_and_syncs_are_signs_of_life() {
    let (mut bench, ids) = Bench::stable(1);
    for turn in 0..6 {
        bench.pass(SESSION * 2 / 3);
        if turn % 2 == 0 {
            bench.commit(&ids[0], bench.group.generation).unwrap();
        } else {
            bench.sync(&ids[0], &[]);
        }
    }
    assert_eq!(bench.group.state, State::Stable);
}

#[test]
fn who_waits_for_an_answer_is_not_silent() {
    let (mut bench, ids) = Bench::stable(2);
    let mut leader = bench.join(known(&ids[0]));
    for _ in 0..10 {
        bench.pass(REBALANCE / 12);
        let _ = bench.beat(&ids[1]);
    }
    assert_eq!(told(&mut leader), None);
    assert_eq!(bench.group.members.len(), 2);
}

#[test]
fn a_newcomer_that_waits_for_five_minutes_is_out() {
    let mut bench = Bench::new();
    bench.delay = Duration::from_secs(1000);
    let patient = Join {
        rebalance_timeout: Duration::from_secs(1000),
        ..join()
    };
    let mut newcomer = bench.join(patient);
    bench.pass(Duration::from_secs(299));
    assert_eq!(told(&mut newcomer), None);
    bench.pass(Duration::from_secs(1));
    assert_eq!(told(&mut newcomer), Some(Err("unknown member")));
}

#[test]
fn a_full_group_takes_nobody_but_those_it_knows() {
    let (mut bench, ids) = Bench::stable(2);
    bench.members_max = 2;
    assert_eq!(kind(bench.joined(join())), Err("full"));
    let asks = Join {
        require_member_id: true,
        ..join()
    };
    assert_eq!(kind(bench.joined(asks.clone())), Err("full"));
    assert_eq!(kind(bench.joined(known(&ids[1]))), Ok(()));
    bench.members_max = 3;
    let Err(GroupError::MemberIdRequired(id)) = bench.joined(asks) else {
        panic!("there is one place")
    };
    assert_eq!(
        kind(bench.joined(join())),
        Err("full"),
        "the place is promised"
    );
    assert_eq!(told(&mut bench.join(known(&id))), None, "to this one");
}

#[test]
fn a_repeated_join_takes_the_place_of_the_one_before() {
    let (mut bench, ids) = Bench::stable(2);
    let mut before = bench.join(known(&ids[0]));
    let mut again = bench.join(known(&ids[0]));
    assert_eq!(told(&mut before), Some(Err("rebalance in progress")));
    bench.join(known(&ids[1]));
    assert_eq!(told(&mut again), Some(Ok(())));
}

#[test]
fn generations_go_around() {
    let (mut bench, ids) = Bench::stable(1);
    bench.group.generation = i32::MAX;
    assert_eq!(bench.joined(known(&ids[0])).unwrap().generation, 1);
}
