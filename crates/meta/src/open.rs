//! Opening the file.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use base::Rng;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::Mutex;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError,
};
use serde::de::DeserializeOwned;

use crate::{
    CLUSTER_ID, DELETING, Error, Meta, PRODUCER_ID, QUEUES, SETTINGS, STRANGERS, Shared, State,
    TOPICS, USERS,
};

/// How much of the file the library keeps in memory, in bytes; the whole state is in memory
/// anyway.
const CACHE_BYTES: usize = 1 << 20;

/// The ending of a file that is not whole yet.
const UNFINISHED: &str = "new";

fn create(path: &Path) -> Result<Database, DatabaseError> {
    Builder::new().set_cache_size(CACHE_BYTES).create(path)
}

/// Makes the file. It gets its name when it is whole, for the library refuses half a file for ever;
/// the name is durable before anything counts on it.
fn make(path: &Path, rng: &Rng) -> Result<(), Error> {
    let new = path.with_extension(UNFINISHED);
    let shown = new.display().to_string();
    let fails = |error: std::io::Error| Error::database(&shown, redb::Error::Io(error));
    let database = match create(&new) {
        // What an interrupted start has left.
        Err(DatabaseError::Storage(StorageError::Io(error)))
            if error.kind() == ErrorKind::InvalidData =>
        {
            std::fs::remove_file(&new).map_err(fails)?;
            create(&new)
        }
        other => other,
    };
    let database = database.map_err(|e| Error::database(&shown, e.into()))?;
    drop(Meta::load(database, shown.clone(), rng.clone())?);
    std::fs::rename(&new, path).map_err(fails)?;
    sync_folder(path).map_err(fails)
}

#[expect(clippy::disallowed_methods, reason = "this is where the file is made")]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

impl Meta {
    /// Opens the file at `path`, makes one when there is none.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Damaged`]; whatever the disk answers.
    pub fn open(path: &Path, rng: Rng) -> Result<Self, Error> {
        if !path.exists() {
            make(path, &rng)?;
        }
        let shown = path.display().to_string();
        let database = create(path).map_err(|e| Error::database(&shown, e.into()))?;
        Self::load(database, shown, rng)
    }

    /// One on `backend`, such as memory, for tests.
    ///
    /// # Errors
    /// As [`Meta::open`].
    pub fn on(backend: impl StorageBackend, rng: Rng) -> Result<Self, Error> {
        let shown = "memory".to_owned();
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend)
            .map_err(|e| Error::database(&shown, e.into()))?;
        Self::load(database, shown, rng)
    }

    /// One that is gone when it is dropped, for tests.
    ///
    /// # Errors
    /// As [`Meta::open`].
    pub fn in_memory(rng: Rng) -> Result<Self, Error> {
        Self::on(redb::backends::InMemoryBackend::new(), rng)
    }

    fn load(database: Database, path: String, rng: Rng) -> Result<Self, Error> {
        let state = Mutex::new(State::default());
        let meta = Self(Arc::new(Shared {
            database,
            path,
            rng,
            changing: Mutex::new(()),
            state,
        }));
        meta.change(|change| {
            change.open_table(TOPICS)?;
            change.open_table(DELETING)?;
            change.open_table(QUEUES)?;
            change.open_table(SETTINGS)?;
            change.open_table(USERS)?;
            for table in crate::Catalog::ALL {
                change.open_table(table.rows())?;
            }
            Ok(())
        })?;
        meta.read()?;
        if meta.setting(CLUSTER_ID).is_none() {
            let id = meta.0.rng.uuid().simple().to_string();
            meta.set_setting(CLUSTER_ID, id.get(..22).unwrap_or(&id))?;
        }
        if meta.setting(STRANGERS).is_none() {
            let mut secret = [0; 32];
            meta.0.rng.fill_secret(&mut secret);
            meta.set_setting(STRANGERS, &BASE64.encode(secret))?;
        }
        Ok(meta)
    }

    fn read(&self) -> Result<(), Error> {
        let fails = |error: redb::Error| Error::database(&self.0.path, error);
        let mut state = State::default();
        let view = self.0.database.begin_read().map_err(|e| fails(e.into()))?;
        let table = view.open_table(TOPICS).map_err(|e| fails(e.into()))?;
        for row in table.iter().map_err(|e| fails(e.into()))? {
            let (key, value) = row.map_err(|e| fails(e.into()))?;
            let topic = self.parse("topic", key.value(), value.value())?;
            state.topics.insert(key.value().to_owned(), topic);
        }
        let table = view.open_table(DELETING).map_err(|e| fails(e.into()))?;
        for row in table.iter().map_err(|e| fails(e.into()))? {
            let (key, value) = row.map_err(|e| fails(e.into()))?;
            let topic: crate::Topic = self.parse("deleted topic", key.value(), value.value())?;
            state.deleting.insert(topic.id, topic);
        }
        let table = view.open_table(SETTINGS).map_err(|e| fails(e.into()))?;
        for row in table.iter().map_err(|e| fails(e.into()))? {
            let (key, value) = row.map_err(|e| fails(e.into()))?;
            state
                .settings
                .insert(key.value().to_owned(), value.value().to_owned());
        }
        let table = view.open_table(USERS).map_err(|e| fails(e.into()))?;
        for row in table.iter().map_err(|e| fails(e.into()))? {
            let (key, value) = row.map_err(|e| fails(e.into()))?;
            let user = self.parse("user", key.value(), value.value())?;
            state.users.insert(key.value().to_owned(), user);
        }
        // The rest of the block that was in use is lost: an id is never given out twice.
        let next = state
            .settings
            .get(PRODUCER_ID)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        (state.producer_next, state.producer_end) = (next, next);
        *self.0.state.lock() = state;
        Ok(())
    }

    pub(crate) fn parse<T: DeserializeOwned>(
        &self,
        what: &str,
        key: &str,
        bytes: &[u8],
    ) -> Result<T, Error> {
        serde_json::from_slice(bytes).map_err(|error| Error::Damaged {
            path: self.0.path.clone(),
            what: format!("{what} `{key}` ({error})"),
        })
    }
}
