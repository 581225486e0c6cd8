//! The grammar of Thrift's definitions (apache/thrift, `doc/specs/idl`).

use super::lex::{Lexer, Token};
use super::tree::{Annotations, Enum, Field, File, Function, Requiredness, Service, Struct, Type};
use crate::load::Problem;
use crate::snapshot::{Kind, WireType};

/// Types and constants inside each other.
const NESTING_MAX: u32 = 32;

type Parsed<T> = Result<T, Problem>;

/// Reads a file.
pub(super) fn file(path: &str, text: &str) -> Parsed<File> {
    let mut parser = Parser(Lexer::new(path, text)?);
    let mut file = File {
        path: path.to_owned(),
        ..File::default()
    };
    while *parser.0.peek() != Token::End {
        parser.definition(&mut file)?;
        parser.separator()?;
    }
    Ok(file)
}

struct Parser<'a>(Lexer<'a>);

impl Parser<'_> {
    fn word(&mut self, what: &str) -> Parsed<String> {
        if let Token::Word(word) = self.0.peek() {
            let word = word.clone();
            self.0.take()?;
            return Ok(word);
        }
        Err(self.0.problem(format!("{what} is missing")))
    }

    fn text(&mut self) -> Parsed<String> {
        let Token::Text(text) = self.0.take()? else {
            return Err(self.0.problem("a text in quotes is missing"));
        };
        Ok(text)
    }

    fn eat(&mut self, sign: u8) -> Parsed<bool> {
        let found = *self.0.peek() == Token::Sign(sign);
        if found {
            self.0.take()?;
        }
        Ok(found)
    }

    fn expect(&mut self, sign: u8) -> Parsed<()> {
        if self.eat(sign)? {
            return Ok(());
        }
        Err(self.0.problem(format!("`{}` is missing", char::from(sign))))
    }

    fn eat_word(&mut self, word: &str) -> Parsed<bool> {
        let found = matches!(self.0.peek(), Token::Word(found) if found == word);
        if found {
            self.0.take()?;
        }
        Ok(found)
    }

    fn separator(&mut self) -> Parsed<()> {
        if !self.eat(b',')? {
            self.eat(b';')?;
        }
        Ok(())
    }

    fn definition(&mut self, file: &mut File) -> Parsed<()> {
        let line = self.0.line();
        let keyword = self.word("a definition")?;
        match keyword.as_str() {
            "include" => file.includes.push((line, self.text()?)),
            "cpp_include" => drop(self.text()?),
            "namespace" => {
                let every = self.eat(b'*')?;
                if !every {
                    self.word("a language")?;
                }
                let name = self.word("a name")?;
                self.annotations()?;
                if every {
                    file.namespace = Some(name);
                }
            }
            "const" => {
                self.of(NESTING_MAX)?;
                self.word("a name")?;
                self.expect(b'=')?;
                self.constant(NESTING_MAX)?;
            }
            "typedef" => {
                let of = self.of(NESTING_MAX)?;
                let name = self.word("a name")?;
                self.annotations()?;
                file.typedefs.push((name, of));
            }
            "enum" => file.enums.push(self.enumeration()?),
            "struct" | "union" | "exception" => {
                let name = self.word("a name")?;
                self.eat_word("xsd_all")?;
                self.expect(b'{')?;
                let fields = self.fields(b'}')?;
                self.annotations()?;
                let is_union = keyword == "union";
                file.structs.push(Struct {
                    name,
                    is_union,
                    fields,
                });
            }
            "service" => file.services.push(self.service(line)?),
            _ => return Err(self.0.problem(format!("`{keyword}` begins no definition"))),
        }
        Ok(())
    }

    fn enumeration(&mut self) -> Parsed<Enum> {
        let name = self.word("a name")?;
        self.expect(b'{')?;
        let (mut values, mut next) = (Vec::new(), 0_i32);
        while !self.eat(b'}')? {
            let value = self.word("a name")?;
            if self.eat(b'=')? {
                let Token::Int(number) = self.0.take()? else {
                    return Err(self.0.problem("a number is missing"));
                };
                let number = i32::try_from(number);
                next = number.map_err(|_| self.0.problem("a number over 32 bits"))?;
            }
            self.annotations()?;
            self.separator()?;
            values.push((value, next));
            next = next.wrapping_add(1);
        }
        self.annotations()?;
        Ok(Enum { name, values })
    }

    fn fields(&mut self, end: u8) -> Parsed<Vec<Field>> {
        let mut fields = Vec::new();
        while !self.eat(end)? {
            let line = self.0.line();
            let Token::Int(id) = self.0.peek() else {
                return Err(self.0.problem("a field without an id"));
            };
            let id = i16::try_from(*id).ok().filter(|id| *id > 0);
            let id = id.ok_or_else(|| self.0.problem("a field's id is from 1 to 32767"))?;
            self.0.take()?;
            self.expect(b':')?;
            let requiredness = if self.eat_word("required")? {
                Requiredness::Required
            } else if self.eat_word("optional")? {
                Requiredness::Optional
            } else {
                Requiredness::Default
            };
            let of = self.of(NESTING_MAX)?;
            self.eat(b'&')?;
            let name = self.word("a field's name")?;
            let has_default = self.eat(b'=')?;
            if has_default {
                self.constant(NESTING_MAX)?;
            }
            self.annotations()?;
            self.separator()?;
            fields.push(Field {
                line,
                id,
                name,
                of,
                requiredness,
                has_default,
            });
        }
        Ok(fields)
    }

    fn service(&mut self, line: u32) -> Parsed<Service> {
        let name = self.word("a name")?;
        let extends = if self.eat_word("extends")? {
            Some(self.word("a service")?)
        } else {
            None
        };
        self.expect(b'{')?;
        let mut functions = Vec::new();
        while !self.eat(b'}')? {
            functions.push(self.function()?);
        }
        let annotations = self.annotations()?;
        Ok(Service {
            line,
            name,
            extends,
            functions,
            annotations,
        })
    }

    fn function(&mut self) -> Parsed<Function> {
        let line = self.0.line();
        let oneway = self.eat_word("oneway")?;
        let result = if self.eat_word("void")? {
            None
        } else {
            Some(self.of(NESTING_MAX)?)
        };
        let name = self.word("a method's name")?;
        self.expect(b'(')?;
        let arguments = self.fields(b')')?;
        let mut throws = Vec::new();
        if self.eat_word("throws")? {
            self.expect(b'(')?;
            throws = self.fields(b')')?;
        }
        let annotations = self.annotations()?;
        self.separator()?;
        Ok(Function {
            line,
            name,
            oneway,
            result,
            arguments,
            throws,
            annotations,
        })
    }

    fn of(&mut self, depth: u32) -> Parsed<Type> {
        let depth = depth.checked_sub(1);
        let depth = depth.ok_or_else(|| self.0.problem("types too deep inside each other"))?;
        let name = self.word("a type")?;
        let base = |kind, wire| Ok(Type::Base(kind, wire));
        let of = match name.as_str() {
            "bool" => base(Kind::Bool, WireType::Bool),
            "byte" | "i8" => base(Kind::Int32, WireType::I8),
            "i16" => base(Kind::Int32, WireType::I16),
            "i32" => base(Kind::Int32, WireType::I32),
            "i64" => base(Kind::Int64, WireType::I64),
            "double" => base(Kind::Double, WireType::Double),
            "string" => base(Kind::String, WireType::String),
            "binary" => base(Kind::Bytes, WireType::String),
            "uuid" => base(Kind::String, WireType::Uuid),
            "list" | "set" | "map" => self.container(&name, depth),
            _ => Ok(Type::Named(name)),
        };
        let of = of?;
        self.annotations()?;
        Ok(of)
    }

    fn container(&mut self, name: &str, depth: u32) -> Parsed<Type> {
        self.cpp_type()?;
        self.expect(b'<')?;
        let first = Box::new(self.of(depth)?);
        let of = if name == "map" {
            self.expect(b',')?;
            Type::Map(first, Box::new(self.of(depth)?))
        } else if name == "set" {
            Type::Set(first)
        } else {
            Type::List(first)
        };
        self.expect(b'>')?;
        self.cpp_type()?;
        Ok(of)
    }

    fn cpp_type(&mut self) -> Parsed<()> {
        if self.eat_word("cpp_type")? {
            self.text()?;
        }
        Ok(())
    }

    /// Steps over a constant.
    fn constant(&mut self, depth: u32) -> Parsed<()> {
        let depth = depth.checked_sub(1);
        let depth = depth.ok_or_else(|| self.0.problem("constants too deep inside each other"))?;
        match self.0.take()? {
            Token::Int(_) | Token::Float | Token::Text(_) | Token::Word(_) => Ok(()),
            Token::Sign(b'[') => {
                while !self.eat(b']')? {
                    self.constant(depth)?;
                    self.separator()?;
                }
                Ok(())
            }
            Token::Sign(b'{') => {
                while !self.eat(b'}')? {
                    self.constant(depth)?;
                    self.expect(b':')?;
                    self.constant(depth)?;
                    self.separator()?;
                }
                Ok(())
            }
            Token::Sign(_) | Token::End => Err(self.0.problem("a constant is missing")),
        }
    }

    fn annotations(&mut self) -> Parsed<Annotations> {
        let mut found = Vec::new();
        if !self.eat(b'(')? {
            return Ok(found);
        }
        while !self.eat(b')')? {
            let key = self.word("an annotation")?;
            let value = if self.eat(b'=')? {
                self.text()?
            } else {
                "1".to_owned()
            };
            self.separator()?;
            found.push((key, value));
        }
        Ok(found)
    }
}
