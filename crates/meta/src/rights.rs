//! What users may do: tags, and permissions in each namespace. The engine reads the patterns; here
//! they are texts that stand in the user's row, so that they go with the user.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::users::{PasswordHash, User};
use crate::{Error, Meta, USERS};

/// What a user may do in a namespace: patterns of the names that each right is given on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Permission {
    /// What may be declared and deleted.
    pub configure: String,
    /// What may be published to, and bound as a destination.
    pub write: String,
    /// What may be consumed from, and bound as a source.
    pub read: String,
}

/// Which routing keys a user may use at one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct TopicPermission {
    /// The keys of what is published.
    pub write: String,
    /// The keys of bindings.
    pub read: String,
}

/// What is known of a user, its credentials left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Words that heads give a meaning to.
    pub tags: Vec<String>,
    /// By namespace.
    pub permissions: BTreeMap<String, Permission>,
    /// By namespace and exchange.
    pub topics: BTreeMap<String, BTreeMap<String, TopicPermission>>,
}

/// A change of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// A password that is known as a hash only; makes the user.
    PasswordHash(PasswordHash),
    /// Nobody can log in with a password any more; makes the user.
    NoPassword,
    /// Replaces the tags.
    Tags(Vec<String>),
    /// Sets or takes (`None`) the permission in a namespace.
    Permission(String, Option<Permission>),
    /// Sets or takes (`None`) the permission at an exchange of a namespace.
    Topic(String, String, Option<TopicPermission>),
}

impl UserChange {
    fn makes_the_user(&self) -> bool {
        matches!(self, Self::PasswordHash(_) | Self::NoPassword)
    }

    fn apply(self, user: &mut User) {
        match self {
            Self::PasswordHash(hash) => {
                user.credentials.clear();
                user.hash = Some(hash);
            }
            Self::NoPassword => {
                user.credentials.clear();
                user.hash = None;
            }
            Self::Tags(tags) => user.tags = tags,
            Self::Permission(namespace, Some(permission)) => {
                user.permissions.insert(namespace, permission);
            }
            Self::Permission(namespace, None) => {
                user.permissions.remove(&namespace);
            }
            Self::Topic(namespace, exchange, Some(permission)) => {
                let of_namespace = user.topics.entry(namespace).or_default();
                of_namespace.insert(exchange, permission);
            }
            Self::Topic(namespace, exchange, None) => {
                if let Some(of_namespace) = user.topics.get_mut(&namespace) {
                    of_namespace.remove(&exchange);
                    if of_namespace.is_empty() {
                        user.topics.remove(&namespace);
                    }
                }
            }
        }
    }
}

impl Meta {
    /// A user's tags and permissions.
    #[must_use]
    pub fn rights(&self, user: &str) -> Option<Rights> {
        let state = self.0.state.lock();
        let user = state.users.get(user)?;
        Some(Rights {
            tags: user.tags.clone(),
            permissions: user.permissions.clone(),
            topics: user.topics.clone(),
        })
    }

    /// A user's permission in a namespace.
    #[must_use]
    pub fn permission(&self, user: &str, namespace: &str) -> Option<Permission> {
        let state = self.0.state.lock();
        state.users.get(user)?.permissions.get(namespace).cloned()
    }

    /// A user's permission at an exchange of a namespace.
    #[must_use]
    pub fn topic_permission(
        &self,
        user: &str,
        namespace: &str,
        exchange: &str,
    ) -> Option<TopicPermission> {
        let state = self.0.state.lock();
        let of_namespace = state.users.get(user)?.topics.get(namespace)?;
        of_namespace.get(exchange).cloned()
    }

    /// Makes all of `changes`, each of the user whose name stands beside it, or none. Blocks until
    /// they are durable.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] when a change neither makes its user nor finds it; whatever the disk
    /// answers.
    pub fn change_users(&self, changes: Vec<(String, UserChange)>) -> Result<(), Error> {
        let _changing = self.0.changing.lock();
        let mut changed: BTreeMap<String, User> = BTreeMap::new();
        for (name, change) in changes {
            let known = changed.contains_key(&name);
            if !known {
                let kept = self.0.state.lock().users.get(&name).cloned();
                if kept.is_none() && !change.makes_the_user() {
                    return Err(Error::UnknownUser(name));
                }
                changed.insert(name.clone(), kept.unwrap_or_default());
            }
            if let Some(user) = changed.get_mut(&name) {
                change.apply(user);
            }
        }
        self.write_users(&changed)?;
        self.0.state.lock().users.append(&mut changed);
        Ok(())
    }

    /// Takes every permission in a namespace from everybody, so that a namespace of the same name
    /// begins without. Blocks until it is durable.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn forget_rights(&self, namespace: &str) -> Result<(), Error> {
        let _changing = self.0.changing.lock();
        let users = self.0.state.lock().users.clone();
        let mut changed = BTreeMap::new();
        for (name, mut user) in users {
            let had = user.permissions.remove(namespace).is_some();
            if user.topics.remove(namespace).is_some() || had {
                changed.insert(name, user);
            }
        }
        self.write_users(&changed)?;
        self.0.state.lock().users.append(&mut changed);
        Ok(())
    }

    fn write_users(&self, users: &BTreeMap<String, User>) -> Result<(), Error> {
        if users.is_empty() {
            return Ok(());
        }
        self.change(|change| {
            let mut table = change.open_table(USERS)?;
            for (name, user) in users {
                table.insert(name.as_str(), user.row().as_slice())?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use base::Rng;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;
    use crate::ScramMechanism;

    fn permission(pattern: &str) -> Permission {
        Permission {
            configure: pattern.to_owned(),
            write: String::new(),
            read: ".*".to_owned(),
        }
    }

    fn grant(user: &str, namespace: &str, pattern: &str) -> (String, UserChange) {
        let change = UserChange::Permission(namespace.to_owned(), Some(permission(pattern)));
        (user.to_owned(), change)
    }

    #[test]
    fn rights_are_there_after_a_restart_and_outlive_a_new_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meta.redb");
        let open = || Meta::open(&path, Rng::seeded(1)).unwrap();
        let meta = open();
        meta.set_password("anna", "secret").unwrap();
        let topic = TopicPermission {
            write: "^a".to_owned(),
            read: String::new(),
        };
        meta.change_users(vec![
            grant("anna", "/", "^x"),
            grant("anna", "other", "^y"),
            (
                "anna".to_owned(),
                UserChange::Tags(vec!["monitoring".to_owned()]),
            ),
            (
                "anna".to_owned(),
                UserChange::Topic("/".to_owned(), "logs".to_owned(), Some(topic.clone())),
            ),
        ])
        .unwrap();
        meta.set_password("anna", "secret 2").unwrap();
        drop(meta);
        let meta = open();
        assert!(meta.verify_password("anna", "secret 2"));
        let rights = meta.rights("anna").unwrap();
        assert_eq!(rights.tags, ["monitoring"]);
        assert_eq!(rights.permissions.len(), 2);
        assert_eq!(meta.permission("anna", "/"), Some(permission("^x")));
        assert_eq!(meta.topic_permission("anna", "/", "logs"), Some(topic));
        meta.forget_rights("/").unwrap();
        drop(meta);
        let meta = open();
        assert_eq!(meta.permission("anna", "/"), None);
        assert_eq!(meta.topic_permission("anna", "/", "logs"), None);
        assert_eq!(meta.permission("anna", "other"), Some(permission("^y")));
        assert_eq!(meta.rights("bob"), None);
    }

    #[test]
    fn changes_are_made_together_or_not_at_all() {
        let meta = Meta::in_memory(Rng::seeded(1)).unwrap();
        meta.set_password("anna", "secret").unwrap();
        let refused = meta.change_users(vec![grant("anna", "/", "a"), grant("bob", "/", "b")]);
        assert!(matches!(refused, Err(Error::UnknownUser(name)) if name == "bob"));
        assert_eq!(meta.permission("anna", "/"), None);
        let made = ("bob".to_owned(), UserChange::NoPassword);
        meta.change_users(vec![made, grant("bob", "/", "b")])
            .unwrap();
        assert_eq!(meta.permission("bob", "/"), Some(permission("b")));
        assert!(!meta.verify_password("bob", ""));
        let take = UserChange::Permission("/".to_owned(), None);
        meta.change_users(vec![("bob".to_owned(), take)]).unwrap();
        assert_eq!(meta.rights("bob"), Some(Rights::default()));
    }

    #[test]
    fn a_password_that_came_as_a_hash_serves_until_a_new_one_is_set() {
        // A published example of this form: four bytes of salt, then SHA-256 of salt and password.
        let bytes = BASE64
            .decode("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR")
            .unwrap();
        let hash = PasswordHash::from_bytes(ScramMechanism::Sha256, &bytes).unwrap();
        assert_eq!(hash.to_bytes(), bytes);
        let meta = Meta::in_memory(Rng::seeded(1)).unwrap();
        meta.set_password("carl", "other").unwrap();
        meta.change_users(vec![("carl".to_owned(), UserChange::PasswordHash(hash))])
            .unwrap();
        assert!(meta.verify_password("carl", "test12"));
        assert!(!meta.verify_password("carl", "other") && !meta.verify_password("carl", "test13"));
        meta.set_password("carl", "third").unwrap();
        assert!(meta.verify_password("carl", "third") && !meta.verify_password("carl", "test12"));
        let short = PasswordHash::from_bytes(ScramMechanism::Sha256, &bytes[..35]);
        assert_eq!(short, None);
    }
}
