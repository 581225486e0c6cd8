//! The table of what is served.

use super::*;

#[test]
fn the_table_is_sorted_and_covers_what_old_clients_look_for() {
    assert!(
        APIS.windows(2)
            .all(|two| two[0].key.number() < two[1].key.number())
    );
    // librdkafka before 2.11 switches features on by these exact versions.
    let needed = [
        (ApiKey::Produce, &[0, 2, 3, 7][..]),
        (ApiKey::Fetch, &[4, 10]),
        (ApiKey::ListOffsets, &[1]),
        (ApiKey::OffsetCommit, &[2]),
        (ApiKey::OffsetFetch, &[1]),
        (ApiKey::FindCoordinator, &[0]),
        (ApiKey::JoinGroup, &[0]),
        (ApiKey::SyncGroup, &[0]),
        (ApiKey::Heartbeat, &[0]),
        (ApiKey::LeaveGroup, &[0]),
        (ApiKey::InitProducerId, &[0]),
        (ApiKey::SaslHandshake, &[0, 1]),
        (ApiKey::SaslAuthenticate, &[0, 1]),
        (ApiKey::ApiVersions, &[0]),
    ];
    for (key, versions) in needed {
        let api = APIS.iter().find(|api| api.key == key).unwrap();
        assert!(
            versions.iter().all(|v| (api.min..=api.max).contains(v)),
            "{key:?}"
        );
    }
}

#[test]
fn old_produces_are_announced_and_refused() {
    assert!(!served(ApiKey::Produce, 2) && served(ApiKey::Produce, 3));
    assert!(served(ApiKey::Produce, 13) && !served(ApiKey::Produce, 14));
}
