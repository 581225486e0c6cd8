//! Limits of topics and partitions.

use base::Rng;
use broker::{Config, Error, NewTopic};
use store::sim::SimDisk;

use crate::machine::Machine;

fn new(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: Some(1),
        ..NewTopic::default()
    }
}

#[tokio::test]
async fn a_topic_grows_where_no_more_topics_may_be() {
    let config = Config {
        topics_max: 4,
        ..Config::default()
    };
    let store = store::Config::default();
    let machine = Machine::with_topics(&SimDisk::new(), &Rng::seeded(1), store, config).unwrap();
    let broker = &machine.broker;
    // The groups' and the queues' topics are the first.
    broker.create_topic(new("a"), false).await.unwrap();
    broker.create_topic(new("b"), false).await.unwrap();
    let refused = broker.create_topic(new("c"), false).await;
    assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
    broker.add_partitions("a", 4, false).await.unwrap();
    assert_eq!(broker.topic("a").unwrap().partitions().len(), 4);
    machine.stop().await.unwrap();
}
