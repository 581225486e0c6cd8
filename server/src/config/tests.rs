//! The configuration: layers, messages, and that nothing goes undocumented.

use super::layers::{HTTP_KEYS, Loaded, Origin};
use super::schema::{SECTIONS, Schema};
use super::*;

/// A file, variables, arguments, and the key that was meant.
type Misspelt = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
    &'static str,
);

#[expect(clippy::disallowed_methods, reason = "a file of its own")]
fn load(file: &str, env: &[(&str, &str)], set: &[&str]) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stentor.toml");
    std::fs::write(&path, file).unwrap();
    let layers = Layers {
        file: Some(path),
        env: env
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        set: set.iter().map(|s| (*s).to_owned()).collect(),
    };
    layers.load().map_err(|e| e.to_string())
}

#[test]
fn later_layers_win_and_each_value_knows_its_origin() {
    let file = "[store]\ntail_bytes = \"1MiB\"\nwal_file_bytes = \"2MiB\"\ncommit_queue_bytes = \"3MiB\"\n";
    let env = [
        ("STENTOR__STORE__TAIL_BYTES", "4MiB"),
        ("STENTOR__STORE__WAL_FILE_BYTES", "5MiB"),
    ];
    let loaded = load(file, &env, &["store.wal_file_bytes=6MiB"]).unwrap();
    let store = &loaded.config.store;
    assert_eq!(store.commit_queue_bytes, ByteSize(3 << 20));
    assert_eq!(store.tail_bytes, ByteSize(4 << 20));
    assert_eq!(store.wal_file_bytes, ByteSize(6 << 20));
    let origin = |key: &str| loaded.entries[key].origin.clone();
    assert!(matches!(
        origin("store.commit_queue_bytes"),
        Origin::File(_)
    ));
    assert_eq!(
        origin("store.tail_bytes"),
        Origin::Env("STENTOR__STORE__TAIL_BYTES".to_owned())
    );
    assert_eq!(origin("store.wal_file_bytes"), Origin::Argument);
    assert_eq!(origin("store.accept_damage"), Origin::Default);
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let loaded = load("", &[], &[]).unwrap();
    assert_eq!(
        loaded.config.http.listener.listen,
        Some(net::Listen::from(schema::HTTP_LISTEN))
    );
    assert_eq!(
        loaded.config.general.data_dir,
        PathBuf::from("./stentor-data")
    );
    assert_eq!(
        loaded.config.topics.partitions,
        broker::Config::default().partitions
    );
}

#[test]
fn words_are_taken_from_every_layer() {
    let loaded = load(
        "",
        &[("STENTOR__LOG__FORMAT", "json")],
        &["sqs.auth=verify"],
    )
    .unwrap();
    assert_eq!(loaded.config.log.format, Format::Json);
    assert_eq!(loaded.config.sqs.head.auth, head_sqs::Auth::Verify);
}

#[test]
fn unsigned_requests_are_taken_from_this_machine_only() {
    for (set, expected) in [
        (&["sqs.listen=127.0.0.2:0"][..], true),
        (&["sqs.listen=[::1]:9324"], true),
        (&["sqs.listen=localhost:9324"], true),
        (&["sqs.listen=off"], true),
        (&["sqs.listen=0.0.0.0:9324"], false),
        (&["sqs.listen=[::]:9324"], false),
        (&["sqs.listen=:9324"], false),
        (&["sqs.listen=broker.example:9324"], false),
        (&["sqs.listen=0.0.0.0:0", "sqs.auth=verify"], true),
        (&["sqs.listen=0.0.0.0:0", "sqs.accept_anywhere=true"], true),
    ] {
        let loaded = load("", &[], set);
        assert_eq!(loaded.is_ok(), expected, "{set:?}");
        if let Err(error) = loaded {
            assert!(error.contains("sqs.accept_anywhere"), "{error}");
        }
    }
    let tls =
        "[sqs]\nlisten = \"0.0.0.0:1\"\n[sqs.tls]\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\n";
    assert!(load(tls, &[], &[]).is_ok());
    assert!(load(&format!("{tls}client_cert_optional = true\n"), &[], &[]).is_err());
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_name() {
    let cases: [Misspelt; 4] = [
        ("[http]\nlistn = \"off\"", &[], &[], "http.listen"),
        ("[htpt]\nlisten = \"off\"", &[], &[], "http.listen"),
        (
            "",
            &[("STENTOR__TOPICS__PARTITION", "3")],
            &[],
            "topics.partitions",
        ),
        ("", &[], &["memory.limits=1GiB"], "memory.limit"),
    ];
    for (file, env, set, meant) in cases {
        let error = load(file, env, set).unwrap_err();
        assert!(
            error.contains(&format!("did you mean `{meant}`")),
            "{error}"
        );
    }
}

#[test]
fn any_bytes_are_a_configuration_or_are_refused_in_words() {
    let seeds = [
        example::example().replace('#', "").into_bytes(),
        b"data_dir = \"d\"\n[kafka]\nlisten = \"off\"\n[kafka.tls]\ncert = \"a\"\nkey = \"b\"\n"
            .to_vec(),
        b"[topics.defaults]\n\"retention.ms\" = 5\n[memory]\nlimit = \"1GiB\"\n".to_vec(),
        b"[log]\nlevel = \"info,store=debug\"\nformat = \"json\"\n".to_vec(),
    ];
    let rng = base::Rng::seeded(1);
    let keys = Schema::read().keys;
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..400 {
        let bytes = fuzz::mutate::mutate(&seeds, &rng);
        match load(&String::from_utf8_lossy(&bytes), &[], &[]) {
            Ok(_) => taken += 1,
            Err(message) => {
                // Where it is, or what it is about.
                let named = ["stentor.toml", "section ["]
                    .iter()
                    .any(|at| message.contains(at))
                    || keys.keys().any(|key| message.contains(key.as_str()));
                assert!(named, "{message}");
                refused += 1;
            }
        }
    }
    assert!(
        taken > 10 && refused > 100,
        "{taken} taken, {refused} refused"
    );
}

#[test]
fn wrong_values_name_the_key_and_who_set_it() {
    let error = load("[topics]\npartitions = \"many\"", &[], &[]).unwrap_err();
    assert!(
        error.contains("topics.partitions") && error.contains("file "),
        "{error}"
    );
    let error = load("", &[], &["topics.partitions=many"]).unwrap_err();
    assert!(
        error.contains("topics.partitions") && error.contains("whole number"),
        "{error}"
    );
    let error = load("", &[("STENTOR__MEMORY__LIMIT", "much")], &[]).unwrap_err();
    assert!(
        error.contains("memory.limit") && error.contains("STENTOR__MEMORY__LIMIT"),
        "{error}"
    );
    let error = load("[memory]\nlimit = \"1MiB\"", &[], &[]).unwrap_err();
    assert!(error.contains("too small"), "{error}");
}

#[test]
fn maps_take_any_key_from_every_layer() {
    let file = "[topics.defaults]\n\"retention.ms\" = 5\n\"segment.bytes\" = \"1048576\"\n";
    let env = [("STENTOR__TOPICS__DEFAULTS__CLEANUP_POLICY", "compact")];
    let loaded = load(file, &env, &["topics.defaults.retention.ms=7"]).unwrap();
    let defaults = &loaded.config.topics.defaults;
    let get = |key: &str| defaults.get(key).map(String::as_str);
    assert_eq!(get("retention.ms"), Some("7"));
    assert_eq!(get("segment.bytes"), Some("1048576"));
    assert_eq!(get("cleanup.policy"), Some("compact"));
}

#[test]
fn tables_inside_a_section_are_read() {
    let file = "[http]\nlisten = \"off\"\n[http.tls]\ncert = \"a.pem\"\nkey = \"b.pem\"\n[http.limits]\nconnections_max = 7\n";
    let loaded = load(file, &[], &["http.limits.calls_in_flight_max=9"]).unwrap();
    let listener = &loaded.config.http.listener;
    assert_eq!(listener.listen, Some(net::Listen::Off));
    assert_eq!(listener.limits.connections_max, 7);
    assert_eq!(listener.limits.calls_in_flight_max, 9);
    assert_eq!(
        listener.tls.as_ref().map(|tls| tls.cert.clone()),
        Some(PathBuf::from("a.pem"))
    );
}

#[test]
fn every_key_is_documented_and_every_default_has_a_key() {
    let schema = Schema::read();
    assert!(schema.keys.len() > 40, "{}", schema.keys.len());
    for (name, key) in &schema.keys {
        assert!(!key.doc.is_empty(), "{name} has no doc comment");
        assert!(
            key.optional || key.default.is_some() || name.contains(".tls."),
            "{name} has no default"
        );
    }
    for section in SECTIONS {
        let found = schema.keys.keys().any(|key| key.starts_with(section.name));
        assert!(found, "section {} has no keys", section.name);
    }
    for key in HTTP_KEYS {
        assert!(schema.keys.contains_key(&format!("http.{key}")), "{key}");
    }
}

#[test]
fn the_example_changes_nothing_and_its_values_are_the_defaults() {
    let example = example::example();
    let loaded = load(&example, &[], &[]).unwrap();
    assert!(
        loaded
            .entries
            .values()
            .all(|entry| entry.origin == Origin::Default)
    );
    // Without the comment signs of the keys it says the same.
    let is_key =
        |line: &str| line.starts_with('#') && !line.starts_with("# ") && !line.starts_with("#[");
    let mut in_optional = false;
    let mut plain = String::new();
    for line in example.lines() {
        in_optional = line.starts_with("#[") || (in_optional && !line.starts_with('['));
        let unset = in_optional || line.contains("\"FILE\"");
        let text = if is_key(line) && !unset {
            line.trim_start_matches('#')
        } else {
            line
        };
        plain.push_str(text);
        plain.push('\n');
    }
    let explicit = load(&plain, &[], &[]).unwrap();
    let set = explicit
        .entries
        .values()
        .filter(|entry| entry.origin != Origin::Default)
        .count();
    assert!(
        set + 5 > loaded.entries.len(),
        "{set} of {}",
        loaded.entries.len()
    );
    for (name, entry) in &loaded.entries {
        assert_eq!(explicit.entries[name].value, entry.value, "{name}");
    }
}
