//! A store on a simulated disk, the model of it, and random work on both.

use std::sync::Arc;

use base::{ByteSize, Clock, Ledger, Metrics, Millis, Offset, Rng, StreamId, Tasks, TopicId};
use bytes::Bytes;
use store::batch::{BatchBuilder, Compression};
use store::sim::SimDisk;
use store::{
    AppendOptions, Config, Durability, Error, GroupAppend, Parts, Store, StoreState, Stream,
    StreamConfig,
};

use crate::model::{End, Life, Model};

/// A store, and what its threads run on.
pub(crate) struct Open {
    pub(crate) store: Store,
    pub(crate) tasks: Tasks,
}

pub(crate) fn config() -> Config {
    Config {
        wal_file_bytes: ByteSize(8 << 10),
        tail_bytes: ByteSize(4 << 10),
        async_sync_interval: Millis(3_600_000),
        ..Config::default()
    }
}

/// Opens the directory.
pub(crate) fn open(disk: &SimDisk, config: Config) -> Result<Open, Error> {
    let tasks = Tasks::current();
    let parts = Parts {
        disk: Arc::new(disk.clone()),
        clock: Clock::manual(1_000_000),
        ledger: Ledger::new(1 << 30),
        tasks: tasks.clone(),
        metrics: Metrics::default(),
    };
    let store = Store::open(config, parts).inspect_err(|_| tasks.signal())?;
    Ok(Open { store, tasks })
}

impl Open {
    /// Closes in order if it can be; nothing of it runs on.
    pub(crate) async fn close(self) -> Result<(), Error> {
        let closed = self.store.close().await;
        self.tasks.signal();
        drop(self.store);
        self.tasks.join_threads();
        closed
    }
}

pub(crate) fn id(number: u32) -> StreamId {
    StreamId {
        topic: TopicId(uuid::Uuid::from_u128(7)),
        partition: number,
    }
}

pub(crate) fn stream_config(is_async: bool) -> StreamConfig {
    StreamConfig {
        segment_bytes: 6000,
        index_interval_bytes: 700,
        durability: if is_async {
            Durability::Async
        } else {
            Durability::Sync
        },
        ..StreamConfig::default()
    }
}

/// A batch of `records` records, `size` bytes each.
pub(crate) fn batch(rng: &Rng, records: u64, size: usize) -> Bytes {
    let mut builder = BatchBuilder::new();
    for _ in 0..records {
        let byte = rng.below(256) as u8;
        builder.push(rng.below(1000) as i64, None, Some(&vec![byte; size]), []);
    }
    builder.build(Compression::None).unwrap()
}

/// What everything is known to be.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) models: Vec<Model>,
    pub(crate) epoch: i32,
    pub(crate) log: Vec<String>,
    /// Appends of which a crash must leave all or nothing: model and end.
    pub(crate) groups: Vec<Vec<(usize, u64)>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::seeded(seed),
            models: Vec::new(),
            epoch: -1,
            log: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// A copy with a generator of its own.
    pub(crate) fn fork(&self, seed: u64) -> Self {
        Self {
            rng: Rng::seeded(seed),
            ..self.clone()
        }
    }

    fn note(&mut self, what: impl Into<String>) {
        self.log.push(what.into());
    }

    /// Compares an opened store with the models, and opens the streams for work.
    pub(crate) fn check_reopened(&mut self, open: &Open, end: End) -> Result<(), String> {
        self.note(format!("reopened after {end:?}"));
        self.epoch += 1;
        for model in &mut self.models {
            model.check_reopened(&open.store, end)?;
            if model.life == Life::Dying {
                let id = model.id;
                open.store
                    .remove(id)
                    .map_err(|e| format!("removing {id} again: {e}"))?;
                model.life = Life::Removed;
            }
            if model.life == Life::Lives {
                open.store
                    .create(model.id, stream_config(model.is_async))
                    .map_err(|e| e.to_string())?;
            }
        }
        self.check_groups()?;
        let known = |id: &StreamId| self.models.iter().any(|model| model.id == *id);
        match open.store.streams().into_iter().find(|id| !known(id)) {
            Some(id) => Err(format!("nobody created {id}")),
            None => Ok(()),
        }
    }

    /// Of each group everything is there, or nothing.
    fn check_groups(&mut self) -> Result<(), String> {
        let models = &self.models;
        let there = |(at, next): &(usize, u64)| models[*at].end() >= *next;
        let lives = |(at, _): &&(usize, u64)| models[*at].life == Life::Lives;
        for group in &self.groups {
            let count = group.iter().filter(lives).count();
            let found = group
                .iter()
                .filter(lives)
                .filter(|part| there(part))
                .count();
            if found != 0 && found != count {
                return Err(format!("{found} of {count} parts of a group: {group:?}"));
            }
        }
        self.groups
            .retain(|group| group.iter().filter(lives).all(there));
        Ok(())
    }

    /// Compares everything that can be read now.
    pub(crate) fn check(&self, open: &Open) -> Result<(), String> {
        for model in self.models.iter().filter(|m| m.life == Life::Lives) {
            if let Some(stream) = open.store.stream(model.id) {
                model.check(&stream)?;
            }
        }
        Ok(())
    }

    /// One random operation. An error of the store is handed back: is it right?
    pub(crate) async fn step(&mut self, open: &Open) -> Result<(), Error> {
        let living: Vec<usize> = (0..self.models.len())
            .filter(|at| self.models[*at].life == Life::Lives)
            .collect();
        if living.is_empty() || (living.len() < 4 && self.rng.below(10) == 0) {
            return self.create(open);
        }
        let at = living[self.rng.below(living.len() as u64) as usize];
        let Some(stream) = open.store.stream(self.models[at].id) else {
            return Err(Error::Removed(self.models[at].id));
        };
        match self.rng.below(24) {
            0..=6 => self.append(at, &stream).await,
            20 | 21 => self.append_all(open).await,
            22 | 23 => {
                self.forget(at, &stream);
                Ok(())
            }
            7..=11 => {
                for _ in 0..self.rng.below(6) {
                    self.append(at, &stream).await?;
                }
                self.wait(at, &stream).await
            }
            12 | 13 => self.wait(at, &stream).await,
            14 => self.flush(open),
            15 | 16 => self.trim(at, &stream),
            17 if self.rng.below(2) == 0 => self.remove(at, open),
            18 => self.configure(at, &stream, open),
            _ => {
                self.blob(at, &stream);
                Ok(())
            }
        }
    }

    fn create(&mut self, open: &Open) -> Result<(), Error> {
        let id = id(self.models.len() as u32);
        let is_async = self.rng.below(3) == 0;
        self.note(format!("create {id}, async: {is_async}"));
        open.store.create(id, stream_config(is_async))?;
        self.models.push(Model::new(id, is_async));
        Ok(())
    }

    async fn append(&mut self, at: usize, stream: &Stream) -> Result<(), Error> {
        let records = 1 + self.rng.below(4);
        let size = match self.rng.below(12) {
            0 => 9000 / records,
            1..=3 => self.rng.below(1500),
            _ => self.rng.below(200),
        };
        let batch = batch(&self.rng, records, size as usize);
        let model = &mut self.models[at];
        let base = model.end();
        let options = AppendOptions {
            epoch: self.epoch,
            ..AppendOptions::default()
        };
        let id = model.id;
        self.log.push(format!(
            "append {base}+{records} to {id}, {} bytes",
            batch.len()
        ));
        // Known before the answer: after a crash it may be there or not.
        self.models[at].appended(&batch, self.epoch);
        loop {
            match stream.append(batch.clone(), options) {
                Err(Error::Busy) => tokio::task::yield_now().await,
                Ok(appended) => {
                    assert_eq!(appended.first, Offset(base), "{:?}", self.log);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn wait(&mut self, at: usize, stream: &Stream) -> Result<(), Error> {
        let model = &mut self.models[at];
        let (id, end) = (model.id, model.end());
        self.log
            .push(format!("wait for {id} to be durable up to {end}"));
        stream.durable(Offset(end)).await?;
        model.acked = end;
        if !model.is_async {
            model.synced = end;
        }
        Ok(())
    }

    fn flush(&mut self, open: &Open) -> Result<(), Error> {
        self.note("flush");
        open.store.flush()?;
        for model in self.models.iter_mut().filter(|m| m.life == Life::Lives) {
            model.flushed();
        }
        Ok(())
    }

    fn trim(&mut self, at: usize, stream: &Stream) -> Result<(), Error> {
        let model = &mut self.models[at];
        let end = stream.end().0;
        let from = stream.start().0;
        let to = from + self.rng.below(end - from + 1);
        self.log.push(format!("trim {} to {to}", model.id));
        model.start_asked = model.start_asked.max(to);
        let start = stream.trim_to(Offset(to))?;
        assert_eq!(start, Offset(to));
        model.start = to;
        if model.is_async {
            model.synced = model.synced.max(to);
        }
        Ok(())
    }

    /// What is below may be gone from now on, and may be there after a crash.
    fn forget(&mut self, at: usize, stream: &Stream) {
        let model = &mut self.models[at];
        let (start, end) = (stream.start().0, stream.end().0);
        let to = match self.rng.below(3) {
            0 => end,
            _ => start + self.rng.below(end - start + 1),
        };
        self.log.push(format!("forget {} below {to}", model.id));
        model.start_asked = model.start_asked.max(to);
        stream.forget_below(Offset(to));
        assert_eq!(stream.start().0, start.max(to));
    }

    async fn append_all(&mut self, open: &Open) -> Result<(), Error> {
        let parts = 1 + self.rng.below(5);
        let living: Vec<usize> = (0..self.models.len())
            .filter(|at| self.models[*at].life == Life::Lives)
            .collect();
        let (mut group, mut appends, mut is_async) = (Vec::new(), Vec::new(), false);
        for _ in 0..parts {
            let at = living[self.rng.below(living.len() as u64) as usize];
            is_async |= self.models[at].is_async;
            let size = self.rng.below(900) as usize;
            let batches = batch(&self.rng, 1 + self.rng.below(3), size);
            let Some(stream) = open.store.stream(self.models[at].id) else {
                return Err(Error::Removed(self.models[at].id));
            };
            let options = AppendOptions {
                epoch: self.epoch,
                ..AppendOptions::default()
            };
            appends.push(GroupAppend {
                stream,
                batches,
                options,
            });
            group.push(at);
        }
        self.note(format!("append to all of {group:?}, async: {is_async}"));
        if is_async {
            return match open.store.append_all(appends) {
                Err(Error::NotAtomic(_)) => Ok(()),
                Err(error) => Err(error),
                Ok(_) => panic!("a group with a stream that does not wait: {:?}", self.log),
            };
        }
        let mut ends = Vec::new();
        for (at, append) in group.iter().zip(&appends) {
            self.models[*at].appended(&append.batches, self.epoch);
            ends.push(self.models[*at].end());
        }
        self.groups
            .push(group.iter().copied().zip(ends.clone()).collect());
        loop {
            match open.store.append_all(appends.clone()) {
                Err(Error::Busy) => tokio::task::yield_now().await,
                Ok(appended) => {
                    let found: Vec<u64> = appended.iter().map(|one| one.next.0).collect();
                    assert_eq!(found, ends, "{:?}", self.log);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn remove(&mut self, at: usize, open: &Open) -> Result<(), Error> {
        let model = &mut self.models[at];
        self.log.push(format!("remove {}", model.id));
        model.life = Life::Dying;
        open.store.remove(model.id)?;
        model.life = Life::Removed;
        Ok(())
    }

    fn configure(&mut self, at: usize, stream: &Stream, open: &Open) -> Result<(), Error> {
        let model = &mut self.models[at];
        model.is_async = !model.is_async;
        let is_async = model.is_async;
        self.log
            .push(format!("configure {}, async: {is_async}", model.id));
        stream.configure(stream_config(is_async));
        if let StoreState::Stopped(error) = open.store.state() {
            return Err(error);
        }
        if !is_async {
            // What was promised to nobody is synced on the way.
            (model.acked, model.synced) = (model.end(), model.end());
        }
        Ok(())
    }

    fn blob(&mut self, at: usize, stream: &Stream) {
        let model = &mut self.models[at];
        let (place, blob) = (model.end(), Bytes::from(vec![model.blobs.len() as u8; 40]));
        self.log.push(format!(
            "blob {} of {} at {place}",
            model.blobs.len(),
            model.id
        ));
        model.blobs.push((place, blob.clone()));
        stream.checkpoint_blob(Offset(place), blob);
    }
}
