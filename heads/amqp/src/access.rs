//! Who may do what here. The user of the configuration may do everything; others have what the
//! engine knows of them.

use broker::Broker;
use broker::access::Right;

use crate::call::Scope;
use crate::error::Failure;

/// What a right is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource {
    Queue,
    Exchange,
}

/// Whether there is such a namespace.
pub(crate) fn namespace_exists(broker: &Broker, namespace: &str) -> bool {
    broker.exchanges().has_namespace(namespace)
}

/// Whether the user may be in its namespace at all.
pub(crate) fn may_enter(broker: &Broker, scope: &Scope) -> bool {
    scope.is_default_user || broker.access().may_enter(&scope.user, &scope.namespace)
}

/// Whether the user has a right.
pub(crate) fn may(broker: &Broker, scope: &Scope, right: Right, name: &str) -> bool {
    scope.is_default_user
        || broker
            .access()
            .may(&scope.user, &scope.namespace, right, name)
}

/// Refuses what the user has no right to.
pub(crate) fn check(
    broker: &Broker,
    scope: &Scope,
    right: Right,
    resource: Resource,
    name: &str,
) -> Result<(), Failure> {
    // The exchange without a name has one here, as in texts and patterns elsewhere.
    let shown = match (resource, name) {
        (Resource::Exchange, "") => "amq.default",
        _ => name,
    };
    if may(broker, scope, right, shown) {
        return Ok(());
    }
    let right = match right {
        Right::Configure => "configure",
        Right::Write => "write",
        Right::Read => "read",
    };
    let resource = match resource {
        Resource::Queue => "queue",
        Resource::Exchange => "exchange",
    };
    Err(Failure::refused(format!(
        "{right} access to {resource} '{shown}' in vhost '{}' refused for user '{}'",
        scope.namespace, scope.user
    )))
}

/// Refuses a routing key that the user may not use at a topic exchange.
pub(crate) fn check_key(
    broker: &Broker,
    scope: &Scope,
    right: Right,
    exchange: &str,
    key: &[u8],
) -> Result<(), Failure> {
    if scope.is_default_user {
        return Ok(());
    }
    let key = String::from_utf8_lossy(key);
    let variables = [("username", &*scope.user), ("vhost", &*scope.namespace)];
    let place = (&*scope.namespace, exchange);
    if broker
        .access()
        .may_use_key(&scope.user, place, right, &key, &variables)
    {
        return Ok(());
    }
    let right = if right == Right::Write {
        "write"
    } else {
        "read"
    };
    Err(Failure::refused(format!(
        "{right} access to topic '{key}' in exchange '{exchange}' in vhost '{}' refused for user '{}'",
        scope.namespace, scope.user
    )))
}
