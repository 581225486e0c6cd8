//! Bits rot: whatever was acknowledged is read as it was, or an error names the file. Never other
//! bytes, and never less in silence.

use base::{Offset, Rng};
use store::sim::SimDisk;
use store::{AppendOptions, Error};

use crate::model::{End, Model};
use crate::world::{World, batch, config, id, open, stream_config};
use crate::{ROUNDS, number, report, runtime};

/// How many bits of a file are tried in an ordinary run.
const BITS: u64 = 25;

/// A directory with two streams: segments behind a checkpoint, and a write-ahead log.
fn directory() -> (World, SimDisk) {
    let (mut world, disk) = (World::new(5), SimDisk::new());
    world.epoch = 3;
    runtime().block_on(async {
        let open = open(&disk, config()).unwrap();
        for number in 0..2 {
            let stream = open.store.create(id(number), stream_config(false)).unwrap();
            let mut model = Model::new(id(number), false);
            for at in 0..40 {
                let batch = batch(&world.rng, 2, 300);
                let options = AppendOptions {
                    epoch: world.epoch + at / 15,
                    ..AppendOptions::default()
                };
                let appended = loop {
                    match stream.append(batch.clone(), options) {
                        Err(Error::Busy) => open.store.room().await,
                        other => break other.unwrap(),
                    }
                };
                model.appended(&batch, options.epoch);
                stream.durable(appended.next).await.unwrap();
                if at == 20 {
                    model.start = 9;
                    stream.trim_to(Offset(9)).unwrap();
                }
                if at == 30 {
                    stream.checkpoint_blob(appended.next, vec![7; 30].into());
                    model.blobs.push((appended.next.0, vec![7; 30].into()));
                    open.store.flush().unwrap();
                }
            }
            model.start_asked = model.start;
            let end = model.end();
            (model.acked, model.synced) = (end, end);
            model.blobs_saved = model.blobs.len();
            world.models.push(model);
        }
        while !is_noted(&disk) {
            std::thread::yield_now();
        }
        let kept = disk.copy();
        disk.power_off();
        let _ = open.close().await;
        (world, kept)
    })
}

/// Whether the committer has left its note that the last write was synced.
pub(crate) fn is_noted(disk: &SimDisk) -> bool {
    let trace = disk.trace();
    let mut steps = trace.iter().rev().filter(|step| step.contains("wal/"));
    steps
        .find(|step| step.contains("Write") || step.contains("Sync"))
        .is_some_and(|step| step.contains("Write"))
}

/// Opens, and reads everything. `Ok(Some)` is an error of the store that names a path.
async fn look(world: &mut World, disk: &SimDisk) -> Result<Option<Error>, String> {
    let opened = match open(disk, config()) {
        Ok(opened) => opened,
        Err(error) => return Ok(Some(error)),
    };
    let mut found = None;
    let mut result = Ok(());
    for model in &mut world.models {
        let Some(stream) = opened.store.stream(model.id) else {
            result = Err(format!("{} is gone", model.id));
            break;
        };
        let mut at = model.start;
        while at < model.end() && found.is_none() {
            match stream.read(Offset(at), 2000) {
                Ok(read) if read.next.0 > at => at = read.next.0,
                Ok(_) => break,
                Err(error) => found = Some(error),
            }
        }
        if found.is_some() {
            break;
        }
        result = model.check_reopened(&opened.store, End::Power);
        if result.is_err() {
            break;
        }
    }
    opened.close().await.map_err(|e| e.to_string())?;
    result.map(|()| found)
}

#[test]
fn every_flipped_bit_is_found_or_changes_nothing() {
    let (world, disk) = directory();
    let files = disk.files();
    let run = runtime();
    let bits = BITS * number("STENTOR_SIM_ROUNDS", ROUNDS) / ROUNDS;
    let rng = Rng::seeded(number("STENTOR_SIM_SEED", 1));
    let mut found = 0;
    for (path, len) in files {
        let rots = [
            "wal/",
            ".log",
            "checkpoint",
            ".index",
            ".timeindex",
            "format",
        ];
        if !rots.iter().any(|part| path.contains(part)) {
            continue;
        }
        for _ in 0..bits.min(len * 8) {
            let bit = rng.below(len * 8);
            let copy = disk.copy();
            copy.flip_bit(&path, bit).unwrap();
            let mut world = world.fork(bit);
            let how = format!("bit {} of byte {} of {path}", bit % 8, bit / 8);
            match run.block_on(look(&mut world, &copy)) {
                Ok(None) => {}
                Ok(Some(Error::Damaged { path: named, .. })) => {
                    found += 1;
                    assert!(named.starts_with("/sim/"), "{how}: {named}");
                }
                Ok(Some(Error::TooNew { .. })) if path == "format" => {}
                Ok(Some(error)) => panic!("{how}: {error}"),
                Err(what) => panic!("{}", report(&what, &how, &world, &[&copy])),
            }
        }
    }
    assert!(found > bits, "{found} flips found");
}
