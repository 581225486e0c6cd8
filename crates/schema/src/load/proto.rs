//! `.proto` files: compiled in this process by `protox`, imports from what was handed over and from
//! the few files of Google that every API uses.

use std::collections::BTreeMap;

use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::Problem;

/// Braces and brackets inside each other: the compiler's parser recurses.
const NESTING_MAX: usize = 100;

/// What can be imported without being handed over.
const BUNDLED: &[(&str, &str)] = &[
    (
        "google/api/annotations.proto",
        include_str!("google/annotations.proto"),
    ),
    ("google/api/http.proto", include_str!("google/http.proto")),
    (
        "google/api/httpbody.proto",
        include_str!("google/httpbody.proto"),
    ),
    ("google/rpc/code.proto", include_str!("google/code.proto")),
    (
        "google/rpc/error_details.proto",
        include_str!("google/error_details.proto"),
    ),
    (
        "google/rpc/status.proto",
        include_str!("google/status.proto"),
    ),
];

/// Compiles all files to an encoded descriptor set with their imports.
pub(super) fn compile(files: &[(String, String)]) -> Result<Vec<u8>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut known = BTreeMap::new();
    for (path, text) in files {
        if !is_plain(path) {
            problems.push(Problem::new(
                path,
                "",
                "an import's path is relative, without `..`",
            ));
        } else if nesting(text) > NESTING_MAX {
            problems.push(Problem::new(
                path,
                "",
                format!("nested over {NESTING_MAX} times"),
            ));
        } else if known.insert(path.clone(), text.clone()).is_some() {
            problems.push(Problem::new(path, "", "is there twice"));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut resolver = ChainFileResolver::new();
    resolver.add(Memory(known));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    // With the source's places, or the compiler decodes and encodes everything once more.
    compiler.include_imports(true).include_source_info(true);
    for (path, text) in files {
        if let Err(error) = compiler.open_file(path) {
            problems.push(problem(path, text, &error));
        }
    }
    if problems.is_empty() {
        Ok(compiler.encode_file_descriptor_set())
    } else {
        problems.dedup();
        Err(problems)
    }
}

/// The compiler says where in its long form: `path:line:column: message`.
fn problem(path: &str, text: &str, error: &protox::Error) -> Problem {
    let file = error.file().unwrap_or(path);
    let long = format!("{error:?}");
    let place = long
        .strip_prefix(file)
        .and_then(|rest| rest.strip_prefix(':'));
    let line = place.and_then(|rest| rest.split(':').next()?.parse().ok());
    let mut what = error.to_string();
    if text.contains("edition") && what.contains("edition") {
        what.push_str(" (bring files with editions as a descriptor set)");
    }
    let problem = Problem::new(file, "", what);
    match line {
        Some(line) => problem.on_line(line),
        None => problem,
    }
}

fn is_plain(path: &str) -> bool {
    let mut steps = path.split('/');
    !path.is_empty()
        && steps.all(|step| !step.is_empty() && step != "." && step != "..")
        && !path.contains('\\')
}

/// How deep brackets of all kinds lie in each other at most, outside of comments and texts.
fn nesting(text: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let skipped = match (byte, after.first()) {
            (b'/', Some(b'/')) => after.iter().position(|b| *b == b'\n'),
            (b'/', Some(b'*')) => after
                .windows(2)
                .skip(1)
                .position(|w| w == b"*/")
                .map(|at| at + 3),
            (b'"' | b'\'', _) => text_end(after, *byte),
            _ => Some(0),
        };
        match byte {
            b'{' | b'[' | b'(' | b'<' => {
                depth += 1;
                most = most.max(depth);
            }
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        rest = after
            .get(skipped.unwrap_or(after.len())..)
            .unwrap_or_default();
    }
    most
}

/// How long the rest of a text is that `quote` ends.
fn text_end(after: &[u8], quote: u8) -> Option<usize> {
    let mut escaped = false;
    let end = after.iter().position(|byte| {
        let found = *byte == quote && !escaped;
        escaped = *byte == b'\\' && !escaped;
        found
    });
    end.map(|at| at + 1)
}

/// The files that were handed over, and those that come along.
#[derive(Debug)]
struct Memory(BTreeMap<String, String>);

impl FileResolver for Memory {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if let Some(text) = self.0.get(name) {
            return File::from_source(name, text);
        }
        match BUNDLED.iter().find(|(path, _)| *path == name) {
            Some((_, text)) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}
