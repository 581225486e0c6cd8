//! Lists and totals over all queues.

use broker::exchange::NamespaceSettings;
use broker::queue::{DeleteWhen, Outcome, QueueSettings, Take};

use crate::basics::{machine, put};

#[tokio::test]
async fn queues_are_listed_page_by_page() {
    let machine = machine().await;
    let queues = machine.queues();
    let settings = NamespaceSettings::default();
    machine
        .broker
        .create_namespace("a", settings)
        .await
        .unwrap();
    for (namespace, name) in [("/", "two"), ("a", "one"), ("/", "one"), ("a", "two")] {
        let settings = QueueSettings::default();
        queues.declare(namespace, name, settings).await.unwrap();
    }
    let page = |namespace, after, max| -> Vec<String> {
        let page = queues.page(namespace, after, max);
        page.iter().map(|queue| format!("{queue:?}")).collect()
    };
    assert_eq!(page(None, None, 3), ["/one", "/two", "aone"]);
    assert_eq!(page(None, Some(("/", "one")), 2), ["/two", "aone"]);
    assert_eq!(page(None, Some(("a", "one")), 9), ["atwo"]);
    assert_eq!(page(Some("a"), None, 9), ["aone", "atwo"]);
    assert_eq!(page(Some("a"), Some(("a", "one")), 9), ["atwo"]);
    // What the page before ended with may be gone.
    assert_eq!(page(None, Some(("/", "p")), 1), ["/two"]);
    assert_eq!(page(None, Some(("0", "")), 1), ["aone"]);
    assert!(page(Some("b"), None, 9).is_empty());
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn totals_over_all_queues_are_measured_when_asked_for() {
    let machine = machine().await;
    let one = machine.declare("one", QueueSettings::default()).await;
    let two = machine.declare("two", QueueSettings::default()).await;
    put(&one, &["a", "b"]).await;
    put(&two, &["c"]).await;
    let taken = one.take(Take::default()).await.unwrap();
    let shown = async || {
        machine.queues().measure().await;
        let text = machine.metrics.encode().unwrap();
        ["ready", "leased", "delayed"].map(|what| {
            let name = format!("stentor_queue_messages_{what} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap().to_owned()
        })
    };
    assert_eq!(shown().await, ["2", "1", "0"]);
    one.settle(&[taken[0].receipt], Outcome::Accept);
    machine
        .queues()
        .delete(&two, DeleteWhen::default())
        .await
        .unwrap();
    assert_eq!(shown().await, ["1", "0", "0"]);
    machine.stop().await.unwrap();
}
