//! From CEL text to an expression over numbered names.

use cel::{
    common::ast::{Expr as Cel, LiteralValue, operators},
    parser::Parser,
};
use regex::Regex;

use super::functions::Function;
use crate::study::problem::{Fault, listed, nearest};

/// What a name in a rule stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Name {
    /// A setting, by its slot.
    Slot(usize),
    /// Something that is not a setting, by its whole name.
    Fact(String),
}

/// A compiled rule.
#[derive(Debug)]
pub(in super::super) struct Compiled {
    pub(super) expr: Expr,
    /// Slots that it reads.
    pub(in super::super) slots: Vec<usize>,
    /// Facts that it reads.
    pub(in super::super) facts: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Expr {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Slot(usize),
    Fact(usize),
    Field(Box<Self>, String),
    Index(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Negate(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    If(Box<[Self; 3]>),
    Binary(Operator, Box<Self>, Box<Self>),
    Given(usize),
    Resolved(usize),
    Default(usize),
    Call(Function, Vec<Self>),
    Matches(Box<Self>, Regex),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    In,
}

/// Why a text is no rule.
pub(in super::super) fn check_syntax(text: &str) -> Result<(), String> {
    parse(text).map(|_| ())
}

fn parse(text: &str) -> Result<cel::IdedExpr, String> {
    Parser::new().parse(text).map_err(|errors| {
        // The parser lists every token that would have been right; what is wrong is enough.
        let message = errors.errors.first().map_or("it does not parse", |error| error.msg.trim());
        message
            .split(" expecting ")
            .next()
            .unwrap_or(message)
            .trim_start_matches("Syntax error: ")
            .to_owned()
    })
}

/// Compiles a rule; `resolve` says what a dotted name stands for, `known` lists names for a hint.
pub(in super::super) fn compile(
    text: &str,
    resolve: &dyn Fn(&str) -> Option<Name>,
    known: &dyn Fn() -> Vec<String>,
) -> Result<Compiled, Fault> {
    let ast = parse(text)
        .map_err(|error| Fault::new(format!("`{text}` is no CEL expression: {error}")))?;
    let mut compiler = Compiler { resolve, known, slots: Vec::new(), facts: Vec::new() };
    let expr = compiler.expr(&ast.expr)?;
    compiler.slots.sort_unstable();
    compiler.slots.dedup();
    Ok(Compiled { expr, slots: compiler.slots, facts: compiler.facts })
}

struct Compiler<'a> {
    resolve: &'a dyn Fn(&str) -> Option<Name>,
    known: &'a dyn Fn() -> Vec<String>,
    slots: Vec<usize>,
    facts: Vec<String>,
}

impl Compiler<'_> {
    fn expr(&mut self, cel: &Cel) -> Result<Expr, Fault> {
        match cel {
            Cel::Literal(literal) => Self::literal(literal),
            Cel::List(list) => Ok(Expr::List(
                list.elements.iter().map(|it| self.expr(&it.expr)).collect::<Result<_, _>>()?,
            )),
            // `has(x.y)` is how CEL asks whether something is there.
            Cel::Select(select) if select.test => {
                let path =
                    dotted(&select.operand.expr).map(|path| format!("{path}.{}", select.field));
                Ok(Expr::Given(self.slot(&path.unwrap_or_default())?))
            }
            Cel::Ident(_) | Cel::Select(_) => self.name(cel),
            Cel::Call(call) => {
                let mut args: Vec<&Cel> = call.target.iter().map(|it| &it.expr).collect();
                args.extend(call.args.iter().map(|it| &it.expr));
                self.call(&call.func_name, &args)
            }
            Cel::Comprehension(_) | Cel::Map(_) | Cel::Struct(_) | Cel::Unspecified => {
                Err(Fault::new("a rule has no maps, structs or loops"))
            }
        }
    }

    fn literal(literal: &LiteralValue) -> Result<Expr, Fault> {
        Ok(match literal {
            LiteralValue::Null => Expr::Null,
            LiteralValue::Boolean(it) => Expr::Bool(*it.inner()),
            LiteralValue::Int(it) => Expr::Int(it.into_inner()),
            LiteralValue::UInt(it) => Expr::Int(
                i64::try_from(*it.inner())
                    .map_err(|_| Fault::new(format!("the integer {} is too large", it.inner())))?,
            ),
            LiteralValue::Double(it) => Expr::Float(*it.inner()),
            LiteralValue::String(it) => Expr::Text(it.inner().to_owned()),
            LiteralValue::Bytes(_) => return Err(Fault::new("a rule has no bytes")),
        })
    }

    /// A name, or a field of the longest part of it that is one.
    fn name(&mut self, cel: &Cel) -> Result<Expr, Fault> {
        if let Some(path) = dotted(cel)
            && let Some(name) = (self.resolve)(&path)
        {
            return Ok(match name {
                Name::Slot(slot) => {
                    self.slots.push(slot);
                    Expr::Slot(slot)
                }
                Name::Fact(fact) => Expr::Fact(self.fact(fact)),
            });
        }
        match cel {
            Cel::Select(select)
                if dotted(&select.operand.expr).is_none_or(|it| it.contains('.')) =>
            {
                Ok(Expr::Field(Box::new(self.expr(&select.operand.expr)?), select.field.clone()))
            }
            _ => Err(self.unknown(&dotted(cel).unwrap_or_default())),
        }
    }

    fn unknown(&self, path: &str) -> Fault {
        let known = (self.known)();
        Fault::new(format!("unknown name `{path}`"))
            .nearest(nearest(path, known.iter().map(String::as_str)))
    }

    fn fact(&mut self, fact: String) -> usize {
        self.facts.iter().position(|it| *it == fact).unwrap_or_else(|| {
            self.facts.push(fact);
            self.facts.len() - 1
        })
    }

    fn slot(&mut self, path: &str) -> Result<usize, Fault> {
        match (self.resolve)(path) {
            Some(Name::Slot(slot)) => {
                self.slots.push(slot);
                Ok(slot)
            }
            Some(Name::Fact(_)) => {
                Err(Fault::new(format!("`{path}` is a fact, expected a setting")))
            }
            None => Err(self.unknown(path)),
        }
    }

    fn call(&mut self, name: &str, args: &[&Cel]) -> Result<Expr, Fault> {
        if let ("given" | "resolved" | "default", [arg]) = (name, args) {
            let path = dotted(arg)
                .ok_or_else(|| Fault::new(format!("`{name}` takes the path of a setting")))?;
            let slot = self.slot(&path)?;
            return Ok(match name {
                "given" => Expr::Given(slot),
                "resolved" => Expr::Resolved(slot),
                _ => Expr::Default(slot),
            });
        }
        if let ("matches", [text, Cel::Literal(LiteralValue::String(pattern))]) = (name, args) {
            let regex = Regex::new(pattern.inner())
                .map_err(|error| Fault::new(format!("bad pattern: {error}")))?;
            return Ok(Expr::Matches(Box::new(self.expr(text)?), regex));
        }
        let mut args = args.iter().map(|arg| self.expr(arg)).collect::<Result<Vec<_>, _>>()?;
        if let Some(operator) = operator(name)
            && args.len() == 2
        {
            let second = Box::new(args.remove(1));
            return Ok(Expr::Binary(operator, Box::new(args.remove(0)), second));
        }
        if name == operators::LOGICAL_AND || name == operators::LOGICAL_OR {
            let join = |left, right| {
                let (left, right) = (Box::new(left), Box::new(right));
                if name == operators::LOGICAL_AND {
                    Expr::And(left, right)
                } else {
                    Expr::Or(left, right)
                }
            };
            return args
                .into_iter()
                .reduce(join)
                .ok_or_else(|| Fault::new("an operator without operands"));
        }
        match (name, args.len()) {
            (operators::LOGICAL_NOT, 1) => Ok(Expr::Not(Box::new(args.remove(0)))),
            (operators::NEGATE, 1) => Ok(Expr::Negate(Box::new(args.remove(0)))),
            (operators::INDEX, 2) => {
                let index = Box::new(args.remove(1));
                Ok(Expr::Index(Box::new(args.remove(0)), index))
            }
            (operators::CONDITIONAL, 3) => {
                let args = <[Expr; 3]>::try_from(args).expect("has three");
                Ok(Expr::If(Box::new(args)))
            }
            _ => {
                let function = Function::named(name, args.len())
                    .ok_or_else(|| unknown_function(name, args.len()))?;
                Ok(Expr::Call(function, args))
            }
        }
    }
}

fn unknown_function(name: &str, args: usize) -> Fault {
    let names = || {
        let own = Function::NAMES.iter().map(|(name, ..)| *name);
        own.chain(["given", "resolved", "default", "matches"])
    };
    Fault::new(format!("unknown function `{name}` of {args} arguments, known: {}", listed(names())))
        .nearest(nearest(name, names()))
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::NotEqual,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessEqual,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterEqual,
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Modulo,
        operators::IN => Operator::In,
        _ => return None,
    })
}

/// The dotted name that an expression spells, if it spells one.
fn dotted(cel: &Cel) -> Option<String> {
    match cel {
        Cel::Ident(name) => Some(name.clone()),
        Cel::Select(select) if !select.test => {
            Some(format!("{}.{}", dotted(&select.operand.expr)?, select.field))
        }
        _ => None,
    }
}
