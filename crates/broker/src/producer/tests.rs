//! What a partition remembers of a producer: batch by batch, and across a save.

use super::*;

fn stamp(epoch: i16, first: i32, count: u32) -> Stamp {
    Stamp::new(9, epoch, first, count)
}

fn record(table: &mut ProducerTable, stamp: Stamp, offset: u64) {
    let next = offset + u64::from(stamp.last.wrapping_sub(stamp.first) as u32) + 1;
    table.record(stamp, (Offset(offset), Offset(next)), 1_000, 1_000, 100);
}

#[test]
fn an_unknown_producer_may_begin_anywhere() {
    let table = ProducerTable::default();
    assert_eq!(table.check(stamp(0, 0, 1)), Ok(Verdict::Append));
    assert_eq!(table.check(stamp(3, 77, 1)), Ok(Verdict::Append));
}

#[test]
fn the_last_five_batches_are_recognised_and_older_ones_are_out_of_order() {
    let mut table = ProducerTable::default();
    for n in 0..6 {
        record(&mut table, stamp(0, n * 10, 10), u64::from(n as u32) * 10);
    }
    for n in 1..6 {
        let offset = u64::from(n as u32) * 10;
        assert_eq!(
            table.check(stamp(0, n * 10, 10)),
            Ok(Verdict::Duplicate {
                first: Offset(offset),
                next: Offset(offset + 10),
                timestamp: 1_000
            })
        );
    }
    assert_eq!(
        table.check(stamp(0, 0, 10)),
        Err(ProducerProblem::OutOfOrder { got: 0, last: 59 })
    );
}

#[test]
fn a_gap_is_out_of_order() {
    let mut table = ProducerTable::default();
    record(&mut table, stamp(0, 0, 10), 0);
    assert_eq!(
        table.check(stamp(0, 11, 1)),
        Err(ProducerProblem::OutOfOrder { got: 11, last: 9 })
    );
    assert_eq!(table.check(stamp(0, 10, 1)), Ok(Verdict::Append));
}

#[test]
fn sequences_wrap_from_the_largest_to_zero() {
    let mut table = ProducerTable::default();
    record(&mut table, stamp(0, i32::MAX, 1), 0);
    assert_eq!(table.check(stamp(0, 0, 5)), Ok(Verdict::Append));
    let across = stamp(0, i32::MAX - 1, 4);
    assert_eq!(across.last, 1);
}

#[test]
fn a_new_epoch_begins_at_zero_and_an_old_one_is_stale() {
    let mut table = ProducerTable::default();
    record(&mut table, stamp(1, 0, 10), 0);
    assert_eq!(
        table.check(stamp(2, 3, 1)),
        Err(ProducerProblem::OutOfOrder { got: 3, last: 9 })
    );
    assert_eq!(table.check(stamp(2, 0, 1)), Ok(Verdict::Append));
    assert_eq!(
        table.check(stamp(0, 10, 1)),
        Err(ProducerProblem::StaleEpoch { got: 0, current: 1 })
    );
}

#[test]
fn the_state_survives_being_written_and_read() {
    let mut table = ProducerTable::default();
    for n in 0..7 {
        record(&mut table, stamp(0, n, 1), u64::from(n as u32));
    }
    record(&mut table, Stamp::new(12, 4, 0, 3), 7);
    let read = ProducerTable::decode(&table.encode()).unwrap();
    assert_eq!(read.states, table.states);
    let bytes = table.encode();
    for cut in 0..bytes.len() {
        assert!(
            ProducerTable::decode(&bytes[..cut]).is_none(),
            "cut at {cut}"
        );
    }
}

#[test]
fn the_longest_silent_producer_makes_room() {
    let mut table = ProducerTable::default();
    for id in 0..3 {
        let evicted = table.record(
            Stamp::new(id, 0, 0, 1),
            (Offset(0), Offset(1)),
            0,
            100 + id,
            2,
        );
        assert_eq!(evicted, u64::from(id == 2));
    }
    assert_eq!(
        table.list().iter().map(|p| p.id).collect::<Vec<_>>(),
        [1, 2]
    );
    table.expire(102);
    assert_eq!(table.list().iter().map(|p| p.id).collect::<Vec<_>>(), [2]);
}

/// After a start nobody has been seen before anybody else: who wrote first goes first.
#[test]
fn of_those_seen_at_one_time_the_one_that_wrote_first_is_forgotten() {
    let mut table = ProducerTable::default();
    for producer in 0..40_i64 {
        let offset = Offset(u64::try_from(producer).unwrap());
        let stamp = Stamp::new(producer * 7919 % 41, 0, 0, 1);
        table.record(stamp, (offset, offset.plus(1)), 5, 1000, 10);
    }
    let mut kept: Vec<i64> = table
        .list()
        .into_iter()
        .map(|producer| producer.id)
        .collect();
    let mut last: Vec<i64> = (30..40).map(|producer| producer * 7919 % 41).collect();
    kept.sort_unstable();
    last.sort_unstable();
    assert_eq!(kept, last);
}
