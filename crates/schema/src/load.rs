//! From files that people write to a [`Snapshot`]: all of them at once, or none and a list of what
//! is wrong. Nothing is read from disk here; whoever calls has the texts.

mod descriptor;
mod features;
mod proto;
mod thrift;

use std::fmt;

use base::{Kind, Retry};

use crate::snapshot::{Draft, Snapshot, link};

/// The most files of one snapshot.
const FILES_MAX: usize = 10_000;
/// The longest source file. The compiler recurses, and its errors quote the source.
const SOURCE_BYTES_MAX: usize = 4 << 20;
/// The longest descriptor set.
const SET_BYTES_MAX: usize = 64 << 20;

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file it is in; empty when it is in none.
    pub file: String,
    /// The line from 1 on, where it is known.
    pub line: Option<u32>,
    /// The message, field, method or import that it is about; may be empty.
    pub symbol: String,
    /// What is wrong.
    pub what: String,
}

impl Problem {
    pub(crate) fn new(file: &str, symbol: &str, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            symbol: symbol.to_owned(),
            what: what.into(),
        }
    }

    pub(crate) fn on_line(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.file.is_empty() {
            write!(f, " ")?;
        }
        if !self.symbol.is_empty() {
            write!(f, "{}: ", self.symbol)?;
        }
        write!(f, "{}", self.what)
    }
}

/// Everything that is wrong with what was to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// What it is about: the definitions themselves.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }

    /// The same definitions never load.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects files, then makes a snapshot of them.
#[derive(Debug, Default)]
pub struct Loader {
    protos: Vec<(String, String)>,
    sets: Vec<(String, Vec<u8>)>,
    thrifts: Vec<(String, String)>,
}

impl Loader {
    /// Without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a `.proto` file, which others import as `path` (`acme/user.proto`). Those of
    /// `google/protobuf/`, `google/api/` (annotations, http, httpbody) and `google/rpc/` (code,
    /// error_details, status) are there already. No editions: bring those as a descriptor set.
    pub fn proto(&mut self, path: &str, text: &str) -> &mut Self {
        self.protos.push((path.to_owned(), text.to_owned()));
        self
    }

    /// Adds an encoded `google.protobuf.FileDescriptorSet` with its imports; proto2, proto3 and
    /// editions. `name` is what problems call it.
    pub fn descriptor_set(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        self.sets.push((name.to_owned(), bytes.to_vec()));
        self
    }

    /// Adds a `.thrift` file, which others include as `path`.
    pub fn thrift(&mut self, path: &str, text: &str) -> &mut Self {
        self.thrifts.push((path.to_owned(), text.to_owned()));
        self
    }

    /// Makes the snapshot. At most 10,000 files, of 4 MiB each; sets of 64 MiB.
    ///
    /// # Errors
    /// All that is wrong, as far as it could be read on.
    pub fn load(&self) -> Result<Snapshot, Problems> {
        let mut problems = self.too_much();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let mut draft = Draft::default();
        let mut files = descriptor::Files::default();
        for (name, bytes) in &self.sets {
            files.read(name, bytes, &mut draft, &mut problems);
        }
        if !self.protos.is_empty() {
            match proto::compile(&self.protos) {
                Ok(set) => files.read("", &set, &mut draft, &mut problems),
                Err(found) => problems.extend(found),
            }
        }
        thrift::read(&self.thrifts, &mut draft, &mut problems);
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        link(draft).map_err(Problems)
    }

    fn too_much(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let count = self.protos.len() + self.sets.len() + self.thrifts.len();
        if count > FILES_MAX {
            let what = format!("{count} files, and {FILES_MAX} are the most");
            found.push(Problem::new("", "", what));
        }
        let sources = self.protos.iter().chain(&self.thrifts);
        let lengths = sources.map(|(path, text)| (path, text.len(), SOURCE_BYTES_MAX));
        let sets = self
            .sets
            .iter()
            .map(|(name, set)| (name, set.len(), SET_BYTES_MAX));
        for (path, length, max) in lengths.chain(sets) {
            if length > max {
                let what = format!("{length} bytes, and {max} are the most");
                found.push(Problem::new(path, "", what));
            }
        }
        found
    }
}
