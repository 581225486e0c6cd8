//! Which crate may depend on which, and on which crates from outside.

use super::manifest::{Manifest, Table, members};
use super::{Tree, Violation};

/// The arrows between crates of the house. Everything may point at `base`; `server` at everything.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("broker", &["meta", "store"]),
    ("kafka-wire", &[]),
    ("mesh", &["meta", "net"]),
    ("meta", &["store"]),
    ("net", &[]),
    ("rpc", &["broker", "mesh", "meta", "schema"]),
    ("schema", &[]),
    ("store", &[]),
];

/// What a head may point at besides `net`: the one engine that it speaks to, and its wire format.
const HEADS: &[(&str, &[&str])] = &[("head-kafka", &["broker", "kafka-wire"])];
/// The engines, of which a head that is not listed above may have one.
const ENGINES: &[&str] = &["broker", "meta", "rpc", "schema"];

/// Who is at the bottom of nothing: programs and tests see what they need.
const PROGRAMS: &[&str] = &["bench", "fuzz", "server", "tests", "xtask"];

/// Crates from outside that one crate of the house wraps, so that they can be replaced there.
const WRAPPED: &[(&str, &[&str])] = &[
    ("http-body-util", &["net"]),
    ("hyper", &["net"]),
    ("hyper-util", &["net"]),
    ("prometheus-client", &["base"]),
    ("redb", &["meta"]),
    ("rustls", &["net"]),
    ("socket2", &["net"]),
    ("tokio-rustls", &["net"]),
];

/// What no head may have outside of its tests: a head waits for nothing and opens no socket.
const NOT_IN_HEADS: &[&str] = &["rustix", "tokio"];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let members = members(tree);
    let names: Vec<_> = members.iter().map(Manifest::name).collect();
    let mut found = Vec::new();
    for member in &members {
        let name = member.name();
        for dependency in &member.dependencies {
            let ours = names.iter().any(|name| name == dependency.name);
            let wrong = if ours {
                inside(&name, dependency.name, dependency.table)
            } else {
                outside(&name, dependency.name, dependency.table)
            };
            if let Some(instead) = wrong {
                let what = format!("`{name}` may not depend on `{}`", dependency.name);
                found.push(Violation::new(member.path, dependency.line, what, instead));
            }
        }
        found.extend(one_engine(member, &name));
    }
    found
}

/// What is wrong with an arrow between two crates of the house: what to do instead.
fn inside(from: &str, to: &str, table: Table) -> Option<String> {
    if to == "base" || PROGRAMS.contains(&from) {
        return None;
    }
    if to.starts_with("head-") {
        return Some("what two heads share belongs into net or an engine".to_owned());
    }
    // Tests of a crate may open what is below what it uses.
    if PROGRAMS.contains(&to) {
        let only_in_tests = table == Table::Dev && to == "fuzz";
        return (!only_in_tests).then(|| "turn the arrow around".to_owned());
    }
    if table == Table::Dev {
        return None;
    }
    if from.starts_with("head-") {
        if to == "net" {
            return None;
        }
        let (_, allowed) = HEADS
            .iter()
            .find(|(head, _)| *head == from)
            .unwrap_or(&("", ENGINES));
        return (!allowed.contains(&to)).then(|| {
            format!(
                "a head speaks to net and one engine ({}); ask that one",
                allowed.join(", ")
            )
        });
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
        return Some("add the crate to ARROWS in xtask/src/tidy/arrows.rs, with an ADR".to_owned());
    };
    (!allowed.contains(&to)).then(|| {
        format!(
            "it may depend on base{}; a new arrow needs an ADR",
            list(allowed)
        )
    })
}

fn list(allowed: &[&str]) -> String {
    allowed.iter().map(|name| format!(", {name}")).collect()
}

fn outside(from: &str, to: &str, table: Table) -> Option<String> {
    if table == Table::Dev {
        return None;
    }
    if from.starts_with("head-") && NOT_IN_HEADS.contains(&to) {
        return Some("a head is a pure state machine; net has what waits".to_owned());
    }
    let (_, by) = WRAPPED.iter().find(|(name, _)| *name == to)?;
    (!by.contains(&from)).then(|| format!("use it through {}", by.join(" or ")))
}

fn one_engine(member: &Manifest<'_>, name: &str) -> Option<Violation> {
    let engines = member.dependencies.iter().filter(|dependency| {
        dependency.table == Table::Normal && ENGINES.contains(&dependency.name)
    });
    let mut engines = engines.skip(1);
    let second = engines.next().filter(|_| name.starts_with("head-"))?;
    let what = format!("`{name}` speaks to more than one engine");
    let instead = "an engine re-exports what its heads need of the one below";
    Some(Violation::new(member.path, second.line, what, instead))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = "[workspace]\nmembers = [\n \"crates/base\", \"crates/net\", \
        \"crates/meta\", \"crates/store\", \"crates/broker\", \"heads/kafka\", \"heads/amqp\", \"server\" ]\n";

    /// The messages for a crate with these lines in its Cargo.toml.
    fn found(folder: &str, lines: &str) -> Vec<String> {
        let mut tree = Tree::of(&[("Cargo.toml", WORKSPACE)]);
        for other in [
            "crates/base",
            "crates/net",
            "crates/meta",
            "crates/store",
            "crates/broker",
        ] {
            tree.insert(&format!("{other}/Cargo.toml"), "[package]\n");
        }
        tree.insert("heads/kafka/Cargo.toml", "[package]\n");
        tree.insert(&format!("{folder}/Cargo.toml"), lines);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_point_down_only() {
        let found = found(
            "crates/store",
            "[dependencies]\nbase.workspace = true\nmeta.workspace = true\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("crates/store/Cargo.toml:3: `store` may not depend on `meta`")
        );
    }

    #[test]
    fn a_head_knows_net_and_one_engine() {
        let good = "[dependencies]\nbase.workspace = true\nbroker.workspace = true\nnet.workspace = true\n\
            [dev-dependencies]\nstore.workspace = true\ntokio.workspace = true\n";
        assert_eq!(found("heads/amqp", good), Vec::<String>::new());
        for bad in ["tokio", "store", "head-kafka", "hyper"] {
            let found = found(
                "heads/amqp",
                &format!("[dependencies]\n{bad}.workspace = true\n"),
            );
            assert_eq!(found.len(), 1, "{bad}: {found:?}");
        }
        let two = found(
            "heads/amqp",
            "[dependencies]\nbroker.workspace = true\nmeta.workspace = true\n",
        );
        assert!(two[0].contains("more than one engine"), "{two:?}");
        let dev = found(
            "heads/amqp",
            "[dev-dependencies]\nhead-kafka.workspace = true\n",
        );
        assert_eq!(dev.len(), 1, "{dev:?}");
    }

    #[test]
    fn the_server_may_have_everything_and_nobody_the_server() {
        let all = "[dependencies]\nhead-kafka.workspace = true\nstore.workspace = true\n";
        assert_eq!(found("server", all), Vec::<String>::new());
        assert_eq!(
            found("server", "[dependencies]\nhyper.workspace = true\n").len(),
            1
        );
    }
}
