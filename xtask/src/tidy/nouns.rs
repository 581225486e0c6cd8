//! No engine knows a protocol's noun: the first protocol must not leak into what all share.
//! Comments may explain where a layout comes from; names of code may not.

use super::{Code, Tree, Violation};

/// The crates that every protocol shares.
const ENGINES: &[&str] = &[
    "crates/base/",
    "crates/broker/",
    "crates/mesh/",
    "crates/meta/",
    "crates/rpc/",
    "crates/schema/",
    "crates/store/",
];

/// Names of protocols, and words that only one of them has.
const BANNED: &[&str] = &[
    "amqp",
    "apikey",
    "correlationid",
    "grpc",
    "jsonrpc",
    "kafka",
    "librdkafka",
    "rabbit",
    "receipthandle",
    "sqs",
    "thrift",
    "trpc",
    "websocket",
];

/// Formats are what this crate is about, and these words are names of formats too.
const FORMATS: (&str, &[&str]) = ("crates/schema/", &["thrift"]);

/// Whether an identifier contains a banned word, however it is written.
fn banned(word: &str) -> Option<&'static str> {
    let plain = word.replace('_', "").to_ascii_lowercase();
    BANNED.iter().copied().find(|banned| plain.contains(banned))
}

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let engines = tree
        .written_rust()
        .filter(|(path, _)| ENGINES.iter().any(|e| path.starts_with(e)));
    for (path, text) in engines {
        for (line, word) in Code::new(text).words() {
            let Some(noun) = banned(word) else {
                continue;
            };
            let is_format = path.starts_with(FORMATS.0) && FORMATS.1.contains(&noun);
            if !is_format {
                let what = format!("`{word}` names a protocol inside an engine");
                let instead = "find the neutral noun, and convert in the head's convert.rs";
                found.push(Violation::new(path, line, what, instead));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_protocols_are_found_in_code_only() {
        let text = "//! As Kafka does.\nuse kafka_wire::ApiKey;\n// sqs\nstruct AmqpFrame;\nlet a = \"grpc\";\n";
        let tree = Tree::of(&[
            ("crates/broker/src/a.rs", text),
            ("heads/kafka/src/a.rs", text),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|v| (v.line, v.what)).collect();
        let words: Vec<_> = found
            .iter()
            .map(|(line, what)| (*line, &what[..11]))
            .collect();
        assert_eq!(
            words,
            [(2, "`kafka_wire"), (2, "`ApiKey` na"), (4, "`AmqpFrame`")]
        );
    }
}
