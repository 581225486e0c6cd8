//! Namespaces: where the names of queues and exchanges are unique.

use std::collections::BTreeMap;
use std::sync::Arc;

use meta::{Catalog, Meta, RowChange};
use serde::{Deserialize, Serialize};

use super::ExchangeSettings;
use super::registry::{Exchanges, check_limit, check_name, check_row};
use super::space::Space;
use crate::broker::Broker;
use crate::error::Error;
use crate::queue::{DEFAULT_NAMESPACE, DeleteWhen};

/// What is set about a namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct NamespaceSettings {
    /// What the head wants to keep (a description, tags, limits); the engine does not read it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origin: BTreeMap<String, serde_json::Value>,
}

impl Exchanges {
    /// Reads the namespaces back, and makes the default one where there is none at all.
    pub(super) fn load_namespaces(&self, meta: &Meta) -> Result<(), Error> {
        let rows = meta.catalog::<NamespaceSettings>(Catalog::Namespaces)?;
        if rows.is_empty() {
            let settings = NamespaceSettings::default();
            let row = RowChange::put(Catalog::Namespaces, DEFAULT_NAMESPACE, "", &settings);
            meta.change_catalog(&[row])?;
            self.add_space(Space::new(DEFAULT_NAMESPACE, settings));
        }
        for row in rows {
            self.add_space(Space::new(&row.namespace, row.value));
        }
        Ok(())
    }

    fn add_space(&self, space: Space) {
        let name = space.name.clone();
        self.0.spaces.write().insert(name, Arc::new(space));
    }

    /// Declares these exchanges in every namespace that there is and that is made later, before the
    /// caller's own declarations. A head calls this at its start with the exchanges that its
    /// protocol promises.
    ///
    /// # Errors
    /// As [`Exchanges::declare`].
    pub async fn predeclare(&self, given: Vec<(String, ExchangeSettings)>) -> Result<(), Error> {
        self.change("broker.exchange.predeclare", move |exchanges, shared| {
            let mut changing = exchanges.0.changing.lock();
            let spaces: Vec<_> = exchanges.0.spaces.read().values().cloned().collect();
            for space in spaces {
                exchanges.declare_now(&space, given.clone(), &shared.meta)?;
            }
            for (name, settings) in given {
                changing.given.retain(|(other, _)| *other != name);
                changing.given.push((name, settings));
            }
            Ok(())
        })
        .await
    }

    fn create_namespace_now(
        &self,
        name: &str,
        settings: NamespaceSettings,
        meta: &Meta,
    ) -> Result<bool, Error> {
        let changing = self.0.changing.lock();
        let row = RowChange::put(Catalog::Namespaces, name, "", &settings);
        check_row(&row)?;
        if let Ok(space) = self.space(name) {
            meta.change_catalog(&[row])?;
            *space.settings.write() = settings;
            return Ok(false);
        }
        check_name("a namespace's", name)?;
        let limit = self.0.config.namespaces_max;
        let there = self.0.spaces.read().len();
        check_limit("exchanges.namespaces_max", there + 1, limit)?;
        let space = Space::new(name, settings);
        // Its exchanges first: a namespace that is there has them. A crash in between leaves rows
        // of exchanges without a namespace, which a start passes over.
        self.declare_now(&space, changing.given.clone(), meta)?;
        meta.change_catalog(&[row])?;
        self.add_space(space);
        Ok(true)
    }

    /// Removes all that is declared in a namespace without queues, and the namespace.
    fn delete_namespace_now(&self, name: &str, meta: &Meta) -> Result<(), Error> {
        let _one_at_a_time = self.0.changing.lock();
        // First what lets somebody in: a crash behind it leaves a namespace that nobody may use.
        meta.forget_rights(name)?;
        let mut changes = vec![RowChange::remove(Catalog::Namespaces, name, "")];
        for table in [Catalog::Exchanges, Catalog::Bindings, Catalog::Policies] {
            let rows = meta.catalog::<serde_json::Value>(table)?.into_iter();
            let of_it = rows.filter(|row| row.namespace == name);
            changes.extend(of_it.map(|row| RowChange::remove(table, name, &row.name)));
        }
        meta.change_catalog(&changes)?;
        self.0.spaces.write().remove(name);
        Ok(())
    }
}

impl Broker {
    /// The namespaces' names, in order.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let spaces = self.exchanges().0.spaces.read();
        let mut names: Vec<_> = spaces.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }

    /// What is set about a namespace; `None` when there is none of this name.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<NamespaceSettings> {
        let space = self.exchanges().space(name).ok()?;
        let settings = space.settings.read().clone();
        Some(settings)
    }

    /// Makes a namespace with the exchanges that every one begins with, or changes what is set about
    /// the one that is there. Says whether it is new.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a name that is empty or longer than 255 bytes,
    /// [`Error::Limit`], [`Error::Meta`].
    pub async fn create_namespace(
        &self,
        name: &str,
        settings: NamespaceSettings,
    ) -> Result<bool, Error> {
        let name = name.to_owned();
        self.exchanges()
            .change("broker.namespace.create", move |exchanges, shared| {
                exchanges.create_namespace_now(&name, settings, &shared.meta)
            })
            .await
    }

    /// Deletes a namespace with its queues, exchanges, bindings and policies, and everybody's
    /// permissions in it. Says whether it was there.
    ///
    /// # Errors
    /// [`Error::Meta`], [`Error::Store`]; then what is left can be deleted again.
    pub async fn delete_namespace(&self, name: &str) -> Result<bool, Error> {
        if self.namespace(name).is_none() {
            return Ok(false);
        }
        let always = DeleteWhen {
            unused: false,
            empty: false,
        };
        for queue in self.queues().list(Some(name)) {
            self.queues().delete(&queue, always).await?;
        }
        let of_work = name.to_owned();
        self.exchanges()
            .change("broker.namespace.delete", move |exchanges, shared| {
                exchanges.delete_namespace_now(&of_work, &shared.meta)
            })
            .await?;
        self.access().forget();
        self.policies().forget(name);
        Ok(true)
    }
}
