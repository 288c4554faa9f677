//! Matchers for the programs that occur most: they run without the interpreter and without allocating.
//!
//! A matcher gives what the interpreter gives, errors included: an error on one side of `&&` or `||` yields to a side
//! that decides the result alone.

use std::cmp::Ordering;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use serde_json::Value;

use super::{EvalError, Facts, names};

/// A program that needs no interpreter.
#[derive(Debug)]
pub(super) enum Matcher {
    Always(bool),
    /// A text equals a literal.
    Equals(Text, Box<str>),
    /// A header is there, whatever its value.
    Present(Box<str>),
    /// A feature, or the default, compares with a number.
    Compares {
        feature: Box<str>,
        default: Number,
        comparison: Comparison,
        with: Number,
    },
    Not(Box<Matcher>),
    And(Box<[Matcher; 2]>),
    Or(Box<[Matcher; 2]>),
}

/// A text of a request.
#[derive(Debug)]
pub(super) enum Text {
    Header(Box<str>),
    Route,
    Client,
}

/// A number as CEL has it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(i64),
    Uint(u64),
    Double(f64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Matcher {
    /// The matcher for a tree, if all of it can be matched natively.
    pub(super) fn build(tree: &IdedExpr) -> Option<Matcher> {
        match &tree.expr {
            Expr::Literal(LiteralValue::Boolean(holds)) => Some(Matcher::Always(*holds.inner())),
            Expr::Call(call) if call.target.is_none() => Matcher::from_call(call),
            Expr::Select(select) if select.test => match &select.operand.expr {
                Expr::Ident(name) if name == "headers" => Some(Matcher::present(&select.field)),
                _ => None,
            },
            _ => None,
        }
    }

    fn from_call(call: &CallExpr) -> Option<Matcher> {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (operators::LOGICAL_NOT, [of]) => Some(Matcher::Not(Box::new(Matcher::build(of)?))),
            (operators::LOGICAL_AND, [a, b]) => Some(Matcher::And(Box::new([Matcher::build(a)?, Matcher::build(b)?]))),
            (operators::LOGICAL_OR, [a, b]) => Some(Matcher::Or(Box::new([Matcher::build(a)?, Matcher::build(b)?]))),
            (operators::IN, [key, of]) => match (&of.expr, string(key)) {
                (Expr::Ident(of), Some(key)) if of == "headers" => Some(Matcher::present(key)),
                _ => None,
            },
            (_, [a, b]) => {
                let comparison = Comparison::named(name)?;
                Matcher::comparing(a, comparison, b).or_else(|| Matcher::comparing(b, comparison.flipped(), a))
            }
            _ => None,
        }
    }

    /// Names are held in lower case, so no other name is ever present.
    fn present(name: &str) -> Matcher {
        let known = !name.bytes().any(|byte| byte.is_ascii_uppercase());
        if known { Matcher::Present(name.into()) } else { Matcher::Always(false) }
    }

    fn comparing(left: &IdedExpr, comparison: Comparison, right: &IdedExpr) -> Option<Matcher> {
        if let (Some(text), Some(literal)) = (Text::of(left), string(right)) {
            let equals = Matcher::Equals(text, literal.into());
            return match comparison {
                Comparison::Equal => Some(equals),
                Comparison::NotEqual => Some(Matcher::Not(Box::new(equals))),
                Comparison::Less | Comparison::LessOrEqual | Comparison::Greater | Comparison::GreaterOrEqual => None,
            };
        }
        let (feature, default) = feature_or(left)?;
        Some(Matcher::Compares { feature: feature.into(), default, comparison, with: Number::literal(right)? })
    }

    /// Whether a request matches.
    pub(super) fn matches(&self, facts: &dyn Facts) -> Result<bool, EvalError> {
        match self {
            Matcher::Always(holds) => Ok(*holds),
            Matcher::Equals(text, literal) => Ok(text.read(facts) == &**literal),
            Matcher::Present(name) => Ok(facts.header(name).is_some()),
            Matcher::Compares { feature, default, comparison, with } => {
                let number = match facts.feature(feature) {
                    None | Some(Value::Null) => Some(*default),
                    Some(Value::Number(number)) => Number::read(&number),
                    Some(Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => None,
                };
                comparison.holds(number, *with)
            }
            Matcher::Not(of) => Ok(!of.matches(facts)?),
            Matcher::And(sides) => deciding(sides, false, facts),
            Matcher::Or(sides) => deciding(sides, true, facts),
        }
    }
}

/// `decisive` on either side decides, whatever the other side is.
fn deciding([a, b]: &[Matcher; 2], decisive: bool, facts: &dyn Facts) -> Result<bool, EvalError> {
    match a.matches(facts) {
        Ok(first) if first == decisive => Ok(decisive),
        Ok(_) => b.matches(facts),
        Err(error) => match b.matches(facts) {
            Ok(second) if second == decisive => Ok(decisive),
            Ok(_) | Err(_) => Err(error),
        },
    }
}

impl Text {
    fn of(expr: &IdedExpr) -> Option<Text> {
        match &expr.expr {
            Expr::Ident(name) if name == "route" => Some(Text::Route),
            Expr::Ident(name) if name == "client" => Some(Text::Client),
            Expr::Ident(name) => Some(Text::Header(name.strip_prefix(names::HEADER)?.into())),
            _ => None,
        }
    }

    fn read<'a>(&self, facts: &'a dyn Facts) -> &'a str {
        match self {
            Text::Header(name) => facts.header(name).unwrap_or(""),
            Text::Route => facts.route(),
            Text::Client => facts.client(),
        }
    }
}

impl Comparison {
    fn named(operator: &str) -> Option<Comparison> {
        match operator {
            operators::EQUALS => Some(Comparison::Equal),
            operators::NOT_EQUALS => Some(Comparison::NotEqual),
            operators::LESS => Some(Comparison::Less),
            operators::LESS_EQUALS => Some(Comparison::LessOrEqual),
            operators::GREATER => Some(Comparison::Greater),
            operators::GREATER_EQUALS => Some(Comparison::GreaterOrEqual),
            _ => None,
        }
    }

    /// The same comparison with its sides swapped.
    fn flipped(self) -> Comparison {
        match self {
            Comparison::Equal => Comparison::Equal,
            Comparison::NotEqual => Comparison::NotEqual,
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        }
    }

    /// Something that is no number differs from every number, and has no order with it.
    fn holds(self, left: Option<Number>, right: Number) -> Result<bool, EvalError> {
        let order = left.and_then(|left| left.compare(right));
        match self {
            Comparison::Equal => Ok(order == Some(Ordering::Equal)),
            Comparison::NotEqual => Ok(order != Some(Ordering::Equal)),
            Comparison::Less => order.map(Ordering::is_lt).ok_or(EvalError::NotNumber),
            Comparison::LessOrEqual => order.map(Ordering::is_le).ok_or(EvalError::NotNumber),
            Comparison::Greater => order.map(Ordering::is_gt).ok_or(EvalError::NotNumber),
            Comparison::GreaterOrEqual => order.map(Ordering::is_ge).ok_or(EvalError::NotNumber),
        }
    }
}

impl Number {
    fn literal(expr: &IdedExpr) -> Option<Number> {
        match &expr.expr {
            Expr::Literal(LiteralValue::Int(int)) => Some(Number::Int(*int.inner())),
            Expr::Literal(LiteralValue::UInt(uint)) => Some(Number::Uint(*uint.inner())),
            Expr::Literal(LiteralValue::Double(double)) => Some(Number::Double(*double.inner())),
            _ => None,
        }
    }

    /// A JSON number is an integer where it is written as one.
    pub(super) fn read(number: &serde_json::Number) -> Option<Number> {
        let int = number.as_i64().map(Number::Int);
        int.or_else(|| number.as_u64().map(Number::Uint)).or_else(|| number.as_f64().map(Number::Double))
    }

    /// Integers compare exactly; a double makes both sides doubles.
    fn compare(self, other: Number) -> Option<Ordering> {
        match (self.whole(), other.whole()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => self.double().partial_cmp(&other.double()),
        }
    }

    fn whole(self) -> Option<i128> {
        match self {
            Number::Int(int) => Some(int.into()),
            Number::Uint(uint) => Some(uint.into()),
            Number::Double(_) => None,
        }
    }

    fn double(self) -> f64 {
        match self {
            Number::Int(int) => int as f64,
            Number::Uint(uint) => uint as f64,
            Number::Double(double) => double,
        }
    }
}

fn string(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// What the parser makes of `feature("ref", NUMBER)`.
fn feature_or(expr: &IdedExpr) -> Option<(&str, Number)> {
    let Expr::Call(call) = &expr.expr else { return None };
    let [has, _, default] = call.args.as_slice() else { return None };
    let Expr::Ident(has) = &has.expr else { return None };
    Some((has.strip_prefix(names::HAS_FEATURE)?, Number::literal(default)?))
}
