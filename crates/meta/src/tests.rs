//! The control state across restarts, and the rules that it keeps.

#![allow(
    clippy::disallowed_methods,
    reason = "a test leaves files of its own behind"
)]

use super::*;

fn new(name: &str) -> NewTopic {
    let config = BTreeMap::from([("retention.ms".to_owned(), "5".to_owned())]);
    NewTopic {
        name: name.to_owned(),
        partitions: 3,
        config,
        internal: false,
    }
}

#[test]
fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.redb");
    let open = || Meta::open(&path, Rng::seeded(1)).unwrap();
    let meta = open();
    let cluster = meta.cluster_id();
    assert_eq!(cluster.len(), 22);
    let topic = meta.create_topic(new("orders")).unwrap();
    let gone = meta.create_topic(new("gone")).unwrap();
    meta.set_partitions("orders", 7).unwrap();
    meta.set_topic_config("orders", BTreeMap::new()).unwrap();
    meta.delete_topic("gone").unwrap();
    meta.set_setting("a.b", "c").unwrap();
    meta.set_password("anna", "secret").unwrap();
    assert_eq!(meta.next_producer_id().unwrap(), 0);
    drop(meta);
    let meta = open();
    assert_eq!(meta.cluster_id(), cluster);
    let kept = Topic {
        partitions: 7,
        config: BTreeMap::new(),
        ..topic
    };
    assert_eq!(*meta.topics(), [kept]);
    assert_eq!(meta.deleting(), std::slice::from_ref(&gone));
    meta.finish_delete(gone.id).unwrap();
    assert!(meta.deleting().is_empty());
    assert_eq!(
        meta.settings("a."),
        BTreeMap::from([("a.b".to_owned(), "c".to_owned())])
    );
    assert!(meta.verify_password("anna", "secret") && !meta.verify_password("anna", "Secret"));
    assert!(!meta.verify_password("bob", "secret"));
    assert_eq!(
        meta.next_producer_id().unwrap(),
        1000,
        "ids are never given out twice"
    );
    meta.delete_user("anna").unwrap();
    assert!(matches!(
        meta.delete_user("anna"),
        Err(Error::UnknownUser(_))
    ));
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.redb");
    let meta = Meta::open(&path, Rng::seeded(1)).unwrap();
    let second = Meta::open(&path, Rng::seeded(1)).unwrap_err();
    assert!(matches!(second, Error::Locked { .. }), "{second}");
    drop(meta);
}

#[test]
fn a_name_has_one_topic() {
    let meta = Meta::in_memory(Rng::seeded(1)).unwrap();
    let first = meta.create_topic(new("orders")).unwrap();
    assert!(matches!(
        meta.create_topic(new("orders")),
        Err(Error::TopicExists(_))
    ));
    meta.delete_topic("orders").unwrap();
    assert!(matches!(
        meta.set_partitions("orders", 1),
        Err(Error::UnknownTopic(_))
    ));
    assert_ne!(meta.create_topic(new("orders")).unwrap().id, first.id);
}

#[test]
fn names_follow_the_rules() {
    assert!(check_topic_name("a-B_9.x").is_ok() && check_topic_name(&"x".repeat(249)).is_ok());
    for wrong in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
        assert!(check_topic_name(wrong).is_err(), "{wrong}");
    }
}

/// A start that was cut short has left a file without a beginning: what the library writes first
/// is its length.
#[test]
fn a_first_start_that_was_interrupted_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.redb");
    for left in [&b""[..], &[0; 4096]] {
        #[expect(
            clippy::disallowed_methods,
            reason = "as an interrupted start leaves it"
        )]
        std::fs::write(folder.path().join("meta.new"), left).unwrap();
        let meta = Meta::open(&path, Rng::seeded(1)).unwrap();
        meta.create_topic(new("orders")).unwrap();
        drop(meta);
        let meta = Meta::open(&path, Rng::seeded(1)).unwrap();
        assert_eq!(meta.topics().len(), 1);
        drop(meta);
        assert!(!folder.path().join("meta.new").exists());
        std::fs::remove_file(&path).unwrap();
    }
}

/// A disk whose syncs wait until a test lets them go on.
#[derive(Debug, Default)]
struct Slow {
    memory: redb::backends::InMemoryBackend,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    /// Whether syncs are held up, and whether one is.
    state: Mutex<(bool, bool)>,
    changed: parking_lot::Condvar,
}

impl redb::StorageBackend for Slow {
    fn len(&self) -> std::io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        let mut state = self.gate.state.lock();
        while state.0 {
            state.1 = true;
            self.gate.changed.notify_all();
            self.gate.changed.wait(&mut state);
        }
        self.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.memory.write(offset, data)
    }
}

/// The threads that serve sockets read the state: they must not wait for a disk.
#[test]
fn nobody_who_reads_waits_for_the_disk() {
    let disk = Slow::default();
    let gate = disk.gate.clone();
    let meta = Meta::on(disk, Rng::seeded(1)).unwrap();
    meta.create_topic(new("orders")).unwrap();
    gate.state.lock().0 = true;
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| meta.set_partitions("orders", 9));
        let mut state = gate.state.lock();
        while !state.1 {
            gate.changed.wait(&mut state);
        }
        drop(state);
        let (read, told) = std::sync::mpsc::channel();
        let reading = meta.clone();
        scope.spawn(move || {
            let found = (reading.cluster_id().len(), reading.topics()[0].partitions);
            let _ = read.send(found);
        });
        let found = told.recv_timeout(std::time::Duration::from_secs(10));
        gate.state.lock().0 = false;
        gate.changed.notify_all();
        changing.join().unwrap().unwrap();
        // As it was before the change is durable.
        assert_eq!(found, Ok((22, 3)));
    });
    assert_eq!(meta.topics()[0].partitions, 9);
}
