//! From Thrift's words to messages: who means what, and what stands for what has no word.

use base::HashMap;

use super::tree::{Field, File, Function, Requiredness, Service, Struct, Type, stem};
use crate::load::Problem;
use crate::snapshot::{
    Draft, EnumDraft, FieldDraft, Idempotency, Kind, KindDraft, LabelDraft, MessageDraft,
    MethodDraft, Origin, Presence, ServiceDraft, Shape, WireDraft, WireType,
};

/// Typedefs of typedefs, and services that extend each other: how many in a row.
const CHAIN_MAX: usize = 32;

/// What a name stands for.
#[derive(Clone, Debug)]
enum Meaning<'t> {
    /// The file that the type was written in, and the type.
    Typedef(usize, &'t Type),
    /// Full name, and whether one of its values is 0.
    Enum(String, bool),
    Struct(String),
}

struct Linker<'t> {
    files: &'t [File],
    /// By index of the file and name.
    meanings: HashMap<(usize, &'t str), Meaning<'t>>,
    /// For each file the others by the name that it has for them.
    included: Vec<HashMap<&'t str, usize>>,
    draft: &'t mut Draft,
}

pub(super) fn link(files: &[File], draft: &mut Draft, problems: &mut Vec<Problem>) {
    let mut linker = Linker {
        files,
        meanings: HashMap::default(),
        included: Vec::new(),
        draft,
    };
    for (at, file) in files.iter().enumerate() {
        linker.names(at, file);
        problems.extend(linker.includes(file));
    }
    for (at, file) in files.iter().enumerate() {
        for it in &file.structs {
            let name = format!("{}.{}", file.package(), it.name);
            let linked = linker.structure(at, name, it);
            problems.extend(linked.err());
        }
        for it in &file.services {
            let linked = linker.service(at, it);
            problems.extend(linked.err());
        }
    }
}

/// A type after its typedefs.
enum Plain<'t> {
    Base(Kind, WireType),
    Enum(String, bool),
    Struct(String),
    List(usize, &'t Type),
    Set(usize, &'t Type),
    Map(usize, &'t Type, &'t Type),
}

impl<'t> Linker<'t> {
    fn names(&mut self, at: usize, file: &'t File) {
        let full = |name: &str| format!("{}.{name}", file.package());
        for (name, of) in &file.typedefs {
            self.meanings.insert((at, name), Meaning::Typedef(at, of));
        }
        for it in &file.enums {
            let zero = it.values.iter().any(|(_, number)| *number == 0);
            self.meanings
                .insert((at, &it.name), Meaning::Enum(full(&it.name), zero));
            self.draft.enums.push(EnumDraft {
                file: file.path.clone(),
                name: full(&it.name),
                values: it.values.clone(),
                closed: false,
            });
        }
        for it in &file.structs {
            self.meanings
                .insert((at, &it.name), Meaning::Struct(full(&it.name)));
        }
    }

    /// Finds the files that one includes: beside it, or under the very path.
    fn includes(&mut self, file: &'t File) -> Vec<Problem> {
        let mut found = HashMap::default();
        let mut problems = Vec::new();
        let folder = file.path.rsplit_once('/').map(|(folder, _)| folder);
        for (line, path) in &file.includes {
            let beside = folder.map(|folder| format!("{folder}/{path}"));
            let is = |wanted: &str| self.files.iter().position(|file| file.path == wanted);
            match beside.as_deref().and_then(is).or_else(|| is(path)) {
                Some(at) => drop(found.insert(stem(path), at)),
                None => {
                    let problem = Problem::new(&file.path, path, "an include that is not there");
                    problems.push(problem.on_line(*line));
                }
            }
        }
        self.included.push(found);
        problems
    }

    /// The file and the bare name of what `name` means in file `at`.
    fn place(&self, at: usize, name: &'t str) -> Option<(usize, &'t str)> {
        match name.rsplit_once('.') {
            None => Some((at, name)),
            Some((file, name)) => {
                let files = self.included.get(at)?;
                files.get(file).map(|at| (*at, name))
            }
        }
    }

    fn plain(&self, mut at: usize, mut of: &'t Type) -> Result<Plain<'t>, String> {
        for _ in 0..CHAIN_MAX {
            let name = match of {
                Type::Base(kind, wire) => return Ok(Plain::Base(*kind, *wire)),
                Type::List(of) => return Ok(Plain::List(at, of)),
                Type::Set(of) => return Ok(Plain::Set(at, of)),
                Type::Map(key, value) => return Ok(Plain::Map(at, key, value)),
                Type::Named(name) => name,
            };
            let meaning = self
                .place(at, name)
                .and_then(|place| self.meanings.get(&place));
            match meaning {
                Some(Meaning::Typedef(file, inner)) => (at, of) = (*file, *inner),
                Some(Meaning::Enum(name, zero)) => return Ok(Plain::Enum(name.clone(), *zero)),
                Some(Meaning::Struct(name)) => return Ok(Plain::Struct(name.clone())),
                None => return Err(format!("there is no type `{name}`")),
            }
        }
        Err("a typedef of itself".to_owned())
    }

    fn structure(&mut self, at: usize, name: String, it: &'t Struct) -> Result<(), Problem> {
        let mut fields = Vec::new();
        for field in &it.fields {
            let problem = |what: String| {
                let symbol = format!("{name}.{}", field.name);
                Problem::new(&self.files[at].path, &symbol, what).on_line(field.line)
            };
            let draft = self.field(at, &name, field, it.is_union);
            fields.push(draft.map_err(problem)?);
        }
        self.message(
            at,
            name,
            fields,
            if it.is_union {
                Shape::Union
            } else {
                Shape::Plain
            },
        );
        Ok(())
    }

    fn message(&mut self, at: usize, name: String, fields: Vec<FieldDraft>, shape: Shape) {
        let oneofs = if shape == Shape::Union {
            vec!["union".to_owned()]
        } else {
            Vec::new()
        };
        self.draft.messages.push(MessageDraft {
            file: self.files[at].path.clone(),
            name,
            fields,
            oneofs,
            shape,
        });
    }

    fn field(
        &mut self,
        at: usize,
        owner: &str,
        field: &'t Field,
        in_union: bool,
    ) -> Result<FieldDraft, String> {
        let made_up = format!("{owner}.{}", upper(&field.name));
        let mut draft = if in_union {
            self.single(at, &made_up, &field.of)?
        } else {
            self.any(at, &made_up, &field.of)?
        };
        draft.name.clone_from(&field.name);
        draft.number = u32::try_from(field.id).unwrap_or(0);
        if let Some(wire) = &mut draft.wire {
            wire.id = field.id;
        }
        if in_union {
            draft.oneof = Some(0);
            draft.presence = Presence::Explicit;
        } else if field.requiredness == Requiredness::Required {
            draft.presence = Presence::Required;
        } else if draft.label == LabelDraft::Single
            && (field.requiredness == Requiredness::Optional || field.has_default)
        {
            // With a default of its own, absent is not the same as zero.
            draft.presence = Presence::Explicit;
        }
        Ok(draft)
    }

    /// A field of any type; number and name are filled in by others.
    fn any(&mut self, at: usize, made_up: &str, of: &'t Type) -> Result<FieldDraft, String> {
        match self.plain(at, of)? {
            Plain::List(at, of) => self.list(at, made_up, of, WireType::List),
            Plain::Set(at, of) => self.list(at, made_up, of, WireType::Set),
            Plain::Map(at, key, value) => self.map(at, made_up, key, value),
            Plain::Base(kind, wire) => {
                // A uuid has no zero that a text could say.
                let presence = if wire == WireType::Uuid {
                    Presence::Explicit
                } else {
                    Presence::Implicit
                };
                Ok(draft(KindDraft::Scalar(kind), wire, wire, presence))
            }
            Plain::Enum(name, zero) => {
                let presence = if zero {
                    Presence::Implicit
                } else {
                    Presence::Explicit
                };
                Ok(draft(
                    KindDraft::Enum(name),
                    WireType::I32,
                    WireType::I32,
                    presence,
                ))
            }
            Plain::Struct(name) => {
                let wire = WireType::Struct;
                Ok(draft(
                    KindDraft::Message(name),
                    wire,
                    wire,
                    Presence::Explicit,
                ))
            }
        }
    }

    /// One value: a container is put into a message that is not written.
    fn single(&mut self, at: usize, made_up: &str, of: &'t Type) -> Result<FieldDraft, String> {
        let mut inner = self.any(at, &format!("{made_up}Items"), of)?;
        if inner.label == LabelDraft::Single {
            return Ok(inner);
        }
        let outer = inner.wire.map_or(WireType::List, |wire| wire.outer);
        inner.number = 1;
        "items".clone_into(&mut inner.name);
        self.message(at, made_up.to_owned(), vec![inner], Shape::Container);
        let kind = KindDraft::Message(made_up.to_owned());
        Ok(draft(kind, outer, outer, Presence::Explicit))
    }

    fn list(
        &mut self,
        at: usize,
        made_up: &str,
        of: &'t Type,
        outer: WireType,
    ) -> Result<FieldDraft, String> {
        let mut item = self.single(at, made_up, of)?;
        item.label = LabelDraft::Repeated { packed: true };
        item.presence = Presence::Implicit;
        if let Some(wire) = &mut item.wire {
            wire.outer = outer;
        }
        Ok(item)
    }

    fn map(
        &mut self,
        at: usize,
        made_up: &str,
        key: &'t Type,
        value: &'t Type,
    ) -> Result<FieldDraft, String> {
        let mut key_draft = self.any(at, &format!("{made_up}Key"), key)?;
        // An enum as a key is its number.
        if let KindDraft::Enum(_) = key_draft.kind {
            key_draft.kind = KindDraft::Scalar(Kind::Int32);
        }
        let simple = key_draft.label == LabelDraft::Single
            && matches!(
                key_draft.kind,
                KindDraft::Scalar(Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::String)
            );
        let value_name = format!("{made_up}Value");
        let value_draft = if simple {
            self.single(at, &value_name, value)?
        } else {
            self.any(at, &value_name, value)?
        };
        let mut fields = vec![key_draft, value_draft];
        for (field, (number, name)) in fields.iter_mut().zip([(1, "key"), (2, "value")]) {
            field.number = number;
            name.clone_into(&mut field.name);
            if field.label == LabelDraft::Single {
                field.presence = Presence::Explicit;
            }
        }
        let entry = format!("{made_up}Entry");
        let shape = if simple { Shape::Entry } else { Shape::Plain };
        self.message(at, entry.clone(), fields, shape);
        let kind = KindDraft::Message(entry);
        let mut map = draft(kind, WireType::Struct, WireType::Map, Presence::Implicit);
        map.label = LabelDraft::Repeated { packed: false };
        Ok(map)
    }

    fn service(&mut self, at: usize, it: &'t Service) -> Result<(), Problem> {
        let file = &self.files[at];
        let name = format!("{}.{}", file.package(), it.name);
        let problem = |line: u32, symbol: &str, what: String| {
            Problem::new(&file.path, symbol, what).on_line(line)
        };
        // Those that are extended come first, each with the file that knows its types.
        let mut chain = vec![(at, it)];
        while let Some((at, last)) = chain.last().copied()
            && let Some(extends) = &last.extends
        {
            let base = self.place(at, extends).and_then(|(at, name)| {
                let services = &self.files.get(at)?.services;
                services
                    .iter()
                    .find(|it| it.name == name)
                    .map(|it| (at, it))
            });
            match base {
                Some(base) if chain.len() < CHAIN_MAX => chain.push(base),
                Some(_) => return Err(problem(it.line, &name, "extends itself".to_owned())),
                None => {
                    return Err(problem(
                        it.line,
                        &name,
                        format!("there is no service `{extends}`"),
                    ));
                }
            }
        }
        let mut methods = Vec::new();
        for (at, service) in chain.iter().rev() {
            for function in &service.functions {
                let full = format!("{name}.{}", function.name);
                let method = self.method(*at, &full, function);
                methods.push(method.map_err(|what| problem(function.line, &full, what))?);
            }
        }
        self.draft.services.push(ServiceDraft {
            file: file.path.clone(),
            name,
            origin: Origin::Thrift,
            methods,
            options: Vec::new(),
            annotations: it.annotations.clone(),
        });
        Ok(())
    }

    fn method(&mut self, at: usize, full: &str, it: &'t Function) -> Result<MethodDraft, String> {
        let input = format!("{full}_args");
        let fields = it
            .arguments
            .iter()
            .map(|field| self.field(at, &input, field, false));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        self.message(at, input.clone(), fields, Shape::Plain);
        let result = match &it.result {
            Some(of) => Some(self.any(at, &format!("{full}_resultSuccess"), of)?),
            None => None,
        };
        let (output, bare_output) = match result {
            Some(FieldDraft {
                kind: KindDraft::Message(name),
                label: LabelDraft::Single,
                ..
            }) => (name, false),
            other => {
                let output = format!("{full}_result");
                let fields = other.into_iter().map(|mut success| {
                    success.number = 1;
                    "success".clone_into(&mut success.name);
                    if let Some(wire) = &mut success.wire {
                        wire.id = 0;
                    }
                    if success.label == LabelDraft::Single {
                        success.presence = Presence::Explicit;
                    }
                    success
                });
                self.message(at, output.clone(), fields.collect(), Shape::Plain);
                (output, true)
            }
        };
        let mut exceptions = Vec::new();
        for field in &it.throws {
            let Plain::Struct(name) = self.plain(at, &field.of)? else {
                return Err(format!("throws `{}`, which is no exception", field.name));
            };
            exceptions.push((field.id, field.name.clone(), name));
        }
        Ok(MethodDraft {
            name: it.name.clone(),
            input,
            output,
            client_streams: false,
            server_streams: false,
            oneway: it.oneway,
            idempotency: Idempotency::Unknown,
            exceptions,
            bare_output,
            options: Vec::new(),
            annotations: it.annotations.clone(),
        })
    }
}

fn draft(kind: KindDraft, wire: WireType, outer: WireType, presence: Presence) -> FieldDraft {
    FieldDraft {
        number: 0,
        name: String::new(),
        json_name: None,
        kind,
        label: LabelDraft::Single,
        presence,
        group: false,
        oneof: None,
        wire: Some(WireDraft { id: 0, wire, outer }),
    }
}

/// `user_name` as `UserName`, for names of messages that are made up.
fn upper(name: &str) -> String {
    let mut raise = true;
    let mut out = String::new();
    for c in name.chars() {
        if c == '_' {
            raise = true;
        } else {
            out.push(if raise { c.to_ascii_uppercase() } else { c });
            raise = false;
        }
    }
    out
}
