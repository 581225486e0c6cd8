//! The paths of the HTTP interface, read from the source of its routes.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

use crate::tidy::Tree;

const SOURCE: &str = "heads/admin/src/routes.rs";

/// A path that is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route<'a> {
    method: &'a str,
    path: &'a str,
    handler: &'a str,
}

/// Reads calls of `route(routes, Method::M, "path", handler)` and `open(routes, "path", handler)`.
fn read(source: &str) -> Vec<Route<'_>> {
    let mut routes = Vec::new();
    let mut rest = source;
    while let Some((call, arguments)) = ["on.route(", "on.open("]
        .into_iter()
        .filter_map(|call| Some((rest.find(call)?, call)))
        .min()
        .and_then(|(at, call)| Some((call, rest.get(at + call.len()..)?)))
    {
        rest = arguments;
        let Some((inner, _)) = arguments.split_once(')') else {
            break;
        };
        let mut parts = inner.split(',').map(str::trim).skip(1);
        let method = if call == "on.open(" {
            Some("Method::GET")
        } else {
            parts.next()
        };
        let (Some(method), Some(path), Some(handler)) = (method, parts.next(), parts.next()) else {
            continue;
        };
        routes.push(Route {
            method: method.trim_start_matches("Method::"),
            path: path.trim_matches('"'),
            handler,
        });
    }
    routes
}

fn all(tree: &Tree) -> Result<Vec<Route<'_>>> {
    let source = tree.text(SOURCE).context(SOURCE)?;
    let routes = read(source);
    let calls = source.matches("on.route(").count() + source.matches("on.open(").count();
    ensure!(
        !routes.is_empty() && routes.len() == calls,
        "{SOURCE} has routes of an unknown form"
    );
    Ok(routes)
}

/// One row for each.
pub(super) fn table(tree: &Tree) -> Result<String> {
    let mut table = String::from("| method | path | answered by |\n|---|---|---|\n");
    for Route {
        method,
        path,
        handler,
    } in all(tree)?
    {
        writeln!(table, "| {method} | `{path}` | `{handler}` |")?;
    }
    Ok(table)
}

/// All paths in a line, each with its methods.
pub(super) fn list(tree: &Tree) -> Result<String> {
    let mut paths: Vec<(&str, Vec<&str>)> = Vec::new();
    for Route { method, path, .. } in all(tree)? {
        match paths.iter_mut().find(|(known, _)| *known == path) {
            Some((_, methods)) => methods.push(method),
            None => paths.push((path, vec![method])),
        }
    }
    let shown = paths
        .iter()
        .map(|(path, methods)| format!("`{path}` ({})", methods.join(", ")));
    Ok(shown.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_on_one_line_or_more() {
        let source = "routes = on.open(routes, \"/a\", b::c);\nroutes = on.route(\n    routes,\n    Method::PUT,\n    \"/d/{e}\",\n    f::g,\n);\n";
        let route = |method, path, handler| Route {
            method,
            path,
            handler,
        };
        assert_eq!(
            read(source),
            [route("GET", "/a", "b::c"), route("PUT", "/d/{e}", "f::g")]
        );
    }
}
