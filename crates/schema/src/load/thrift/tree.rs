//! A `.thrift` file as it was written, without constants.

use crate::snapshot::{Kind, WireType};

#[derive(Clone, Debug)]
pub(super) enum Type {
    Base(Kind, WireType),
    /// `Name`, or `file.Name`.
    Named(String),
    List(Box<Self>),
    Set(Box<Self>),
    Map(Box<Self>, Box<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requiredness {
    Required,
    Optional,
    Default,
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) line: u32,
    pub(super) id: i16,
    pub(super) name: String,
    pub(super) of: Type,
    pub(super) requiredness: Requiredness,
    pub(super) has_default: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Struct {
    pub(super) name: String,
    pub(super) is_union: bool,
    pub(super) fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub(super) struct Enum {
    pub(super) name: String,
    pub(super) values: Vec<(String, i32)>,
}

pub(super) type Annotations = Vec<(String, String)>;

#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) line: u32,
    pub(super) name: String,
    pub(super) oneway: bool,
    /// `None` is `void`.
    pub(super) result: Option<Type>,
    pub(super) arguments: Vec<Field>,
    pub(super) throws: Vec<Field>,
    pub(super) annotations: Annotations,
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) line: u32,
    pub(super) name: String,
    pub(super) extends: Option<String>,
    pub(super) functions: Vec<Function>,
    pub(super) annotations: Annotations,
}

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) path: String,
    /// Of `namespace *`.
    pub(super) namespace: Option<String>,
    pub(super) includes: Vec<(u32, String)>,
    pub(super) typedefs: Vec<(String, Type)>,
    pub(super) enums: Vec<Enum>,
    pub(super) structs: Vec<Struct>,
    pub(super) services: Vec<Service>,
}

/// A path's last step without its ending: how other files call it.
pub(super) fn stem(path: &str) -> &str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.strip_suffix(".thrift").unwrap_or(name)
}

impl File {
    /// The package of what it defines.
    pub(super) fn package(&self) -> &str {
        self.namespace
            .as_deref()
            .unwrap_or_else(|| stem(&self.path))
    }
}
