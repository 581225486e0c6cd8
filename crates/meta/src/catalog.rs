//! The catalog: namespaces, and what is declared in them.
//!
//! It is tables of rows, each under a namespace and a name. The engine reads them once, when it
//! opens, and keeps what it needs in a form of its own; so they are not kept in memory here, and
//! what a row means is the engine's business. Changes that belong together are one transaction:
//! after a crash all of them are there, or none.

use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Meta};

pub(crate) type Rows = TableDefinition<'static, (&'static str, &'static str), &'static [u8]>;

/// A table of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Catalog {
    /// Namespaces themselves; the row's name is empty.
    Namespaces,
    /// Exchanges, by their name.
    Exchanges,
    /// Bindings, by a number that the engine gives.
    Bindings,
    /// Policies, by their layer and name.
    Policies,
}

impl Catalog {
    /// All tables.
    pub(crate) const ALL: [Self; 4] = [
        Self::Namespaces,
        Self::Exchanges,
        Self::Bindings,
        Self::Policies,
    ];

    pub(crate) fn rows(self) -> Rows {
        TableDefinition::new(self.name())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Exchanges => "exchanges",
            Self::Bindings => "bindings",
            Self::Policies => "policies",
        }
    }
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    table: Catalog,
    namespace: String,
    name: String,
    /// `None` removes the row.
    row: Option<Vec<u8>>,
}

impl RowChange {
    /// Writes the row, over the one that is there.
    #[must_use]
    pub fn put(table: Catalog, namespace: &str, name: &str, row: &impl Serialize) -> Self {
        // Rows are structures of texts and numbers, which JSON can always hold.
        let row = Some(serde_json::to_vec(row).unwrap_or_default());
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self {
            table,
            namespace,
            name,
            row,
        }
    }

    /// How many bytes the row has; none when it is removed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.row.as_ref().map_or(0, Vec::len)
    }

    /// Removes the row, if it is there.
    #[must_use]
    pub fn remove(table: Catalog, namespace: &str, name: &str) -> Self {
        Self {
            table,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            row: None,
        }
    }
}

/// A row as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<T> {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// What it holds.
    pub value: T,
}

impl Meta {
    /// Makes all of `changes`, or none. Blocks until they are durable; nothing to change is no
    /// write.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn change_catalog(&self, changes: &[RowChange]) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        self.change(|transaction| {
            for table in Catalog::ALL {
                let mut of_table = changes.iter().filter(|c| c.table == table).peekable();
                if of_table.peek().is_none() {
                    continue;
                }
                let mut rows = transaction.open_table(table.rows())?;
                for change in of_table {
                    let key = (change.namespace.as_str(), change.name.as_str());
                    match &change.row {
                        Some(row) => drop(rows.insert(key, row.as_slice())?),
                        None => drop(rows.remove(key)?),
                    }
                }
            }
            Ok(())
        })
    }

    /// All rows of a table, in the order of their keys. Reads the file.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a row that makes no sense; whatever the disk answers.
    pub fn catalog<T: DeserializeOwned>(&self, table: Catalog) -> Result<Vec<Row<T>>, Error> {
        let fails = |error: redb::Error| Error::database(&self.0.path, error);
        let view = self.0.database.begin_read().map_err(|e| fails(e.into()))?;
        let rows = view.open_table(table.rows()).map_err(|e| fails(e.into()))?;
        let mut found = Vec::new();
        for row in rows.iter().map_err(|e| fails(e.into()))? {
            let (key, value) = row.map_err(|e| fails(e.into()))?;
            let (namespace, name) = key.value();
            let shown = format!("{namespace}/{name}");
            found.push(Row {
                value: self.parse(table.name(), &shown, value.value())?,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            });
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use base::Rng;

    use super::*;

    fn names(meta: &Meta, table: Catalog) -> Vec<(String, String, u32)> {
        let rows = meta.catalog::<u32>(table).unwrap().into_iter();
        rows.map(|row| (row.namespace, row.name, row.value))
            .collect()
    }

    #[test]
    fn rows_are_there_after_a_restart_in_the_order_of_their_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meta.redb");
        let meta = Meta::open(&path, Rng::seeded(1)).unwrap();
        let put = |table, namespace, name, row: u32| RowChange::put(table, namespace, name, &row);
        meta.change_catalog(&[
            put(Catalog::Exchanges, "b", "x", 1),
            put(Catalog::Exchanges, "a", "z\0", 2),
            put(Catalog::Exchanges, "a\0z", "", 3),
            put(Catalog::Bindings, "a", "7", 4),
            put(Catalog::Exchanges, "b", "x", 5),
            put(Catalog::Exchanges, "b", "gone", 6),
            RowChange::remove(Catalog::Exchanges, "b", "gone"),
            RowChange::remove(Catalog::Policies, "b", "never there"),
        ])
        .unwrap();
        drop(meta);
        let meta = Meta::open(&path, Rng::seeded(1)).unwrap();
        let row =
            |namespace: &str, name: &str, value| (namespace.to_owned(), name.to_owned(), value);
        assert_eq!(
            names(&meta, Catalog::Exchanges),
            [row("a", "z\0", 2), row("a\0z", "", 3), row("b", "x", 5)]
        );
        assert_eq!(names(&meta, Catalog::Bindings), [row("a", "7", 4)]);
        assert_eq!(names(&meta, Catalog::Policies), []);
    }

    #[test]
    fn a_row_that_makes_no_sense_is_named() {
        let meta = Meta::in_memory(Rng::seeded(1)).unwrap();
        meta.change_catalog(&[RowChange::put(Catalog::Bindings, "n", "12", &"text")])
            .unwrap();
        let error = meta.catalog::<u32>(Catalog::Bindings).unwrap_err();
        assert!(error.to_string().contains("bindings `n/12`"), "{error}");
    }
}
