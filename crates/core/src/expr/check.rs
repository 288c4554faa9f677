//! What a tree may not do, what is odd about it, and which facts it mentions.

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators,
};

use super::parse::Places;
use super::{CompileError, Warning, names};

/// Functions and operators that a program may call; what macros stand for is not among them.
const FUNCTIONS: &[&str] = &[
    "_!=_",
    "_%_",
    "_&&_",
    "_*_",
    "_+_",
    "_-_",
    "_/_",
    "_<=_",
    "_<_",
    "_==_",
    "_>=_",
    "_>_",
    "_?._",
    "_?_:_",
    "_[?_]",
    "_[_]",
    "_||_",
    "!_",
    "-_",
    "@in",
    "@not_strictly_false",
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "hasValue",
    "int",
    "none",
    "of",
    "ofNonZeroValue",
    "optional.none",
    "or",
    "orValue",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
    "value",
];

/// Names of types, for `type(x) == int`.
const TYPES: &[&str] = &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Names that a macro's variable may not take.
const VARIABLES: &[&str] = &["client", "features", "headers", "optional", "request", "route"];

/// The facts that a program mentions.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    pub(super) headers: BTreeSet<String>,
    pub(super) features: BTreeSet<String>,
    pub(super) all_headers: bool,
    pub(super) all_features: bool,
    pub(super) route: bool,
    pub(super) client: bool,
    pub(super) request: Option<Mask>,
    pub(super) answer: Option<Mask>,
    /// Features that are named by indexing.
    indexed: BTreeSet<String>,
}

/// The parts of a JSON value that a program mentions.
#[derive(Debug, Default)]
pub(super) struct Mask {
    pub(super) whole: bool,
    pub(super) fields: BTreeMap<String, Mask>,
}

impl Mentions {
    pub(super) fn feature_names(&self) -> impl Iterator<Item = &str> {
        self.features.union(&self.indexed).map(String::as_str)
    }
}

/// What a check gives.
pub(super) struct Checked {
    pub(super) mentions: Mentions,
    pub(super) warnings: Vec<Warning>,
}

/// Checks a tree.
pub(super) fn check(tree: &IdedExpr, places: &Places<'_>, answers: bool) -> Result<Checked, CompileError> {
    let mut walk = Walk {
        places,
        answers,
        mentions: Mentions::default(),
        warnings: Vec::new(),
        scopes: Vec::new(),
        iterating: false,
        bare: Vec::new(),
        guarded: BTreeSet::new(),
    };
    walk.require_boolean(tree)?;
    walk.expr(tree)?;
    Ok(walk.finish())
}

struct Walk<'a> {
    places: &'a Places<'a>,
    /// Whether there is an answer to look at.
    answers: bool,
    mentions: Mentions,
    warnings: Vec<Warning>,
    scopes: Vec<&'a str>,
    iterating: bool,
    /// Where `headers` or `features` is indexed: variable, key, node.
    bare: Vec<(&'a str, String, u64)>,
    /// Which of them something asks for first.
    guarded: BTreeSet<(&'a str, String)>,
}

impl<'a> Walk<'a> {
    fn finish(mut self) -> Checked {
        for (variable, key, id) in std::mem::take(&mut self.bare) {
            if !self.guarded.contains(&(variable, key.clone())) {
                let instead = if variable == "headers" {
                    format!("header({key:?})")
                } else {
                    format!("feature({key:?}, DEFAULT)")
                };
                self.warn(id, format!("an absent key makes this rule fail: write {instead}"));
            }
        }
        self.warnings.sort_by_key(|warning| warning.offset);
        Checked { mentions: self.mentions, warnings: self.warnings }
    }

    fn fault<T>(&self, id: u64, message: impl Into<String>) -> Result<T, CompileError> {
        Err(CompileError { message: message.into(), offset: self.places.offset(id) })
    }

    fn warn(&mut self, id: u64, message: impl Into<String>) {
        self.warnings.push(Warning { message: message.into(), offset: self.places.offset(id) });
    }

    /// Refuses what cannot be true or false; what depends on the facts is left to the evaluation.
    fn require_boolean(&self, tree: &IdedExpr) -> Result<(), CompileError> {
        let never = match &tree.expr {
            Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
            Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => true,
            Expr::Ident(name) => {
                name.starts_with(names::HEADER) || VARIABLES.contains(&name.as_str()) && name != "request"
            }
            Expr::Call(call) => matches!(
                call.func_name.as_str(),
                operators::ADD
                    | operators::SUBSTRACT
                    | operators::MULTIPLY
                    | operators::DIVIDE
                    | operators::MODULO
                    | operators::NEGATE
                    | "size"
                    | "string"
                    | "int"
                    | "uint"
                    | "double"
                    | "bytes"
                    | "type"
            ),
            Expr::Unspecified | Expr::Comprehension(_) | Expr::Select(_) => false,
        };
        if never { self.fault(tree.id, "neither true nor false: compare it with something") } else { Ok(()) }
    }

    fn expr(&mut self, tree: &'a IdedExpr) -> Result<(), CompileError> {
        match &tree.expr {
            Expr::Unspecified => self.fault(tree.id, "not an expression"),
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.ident(tree, name),
            Expr::Select(select) => self.access(tree, &select.operand, Some(&select.field), select.test),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.expr(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(entry)),
            Expr::Struct(made) => self.fault(tree.id, format!("unknown type `{}`", made.type_name)),
            Expr::Comprehension(iteration) => self.iteration(tree, iteration),
            Expr::Call(call) => self.call(tree, call),
        }
    }

    fn entry(&mut self, entry: &'a IdedEntryExpr) -> Result<(), CompileError> {
        match &entry.expr {
            EntryExpr::StructField(field) => self.expr(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.expr(&entry.key)?;
                self.expr(&entry.value)
            }
        }
    }

    fn ident(&mut self, tree: &IdedExpr, name: &str) -> Result<(), CompileError> {
        if self.scopes.contains(&name) || TYPES.contains(&name) {
            return Ok(());
        }
        if let Some(header) = name.strip_prefix(names::HEADER) {
            self.mentions.headers.insert(header.to_owned());
            return Ok(());
        }
        if let Some(feature) = name.strip_prefix(names::FEATURE).or_else(|| name.strip_prefix(names::HAS_FEATURE)) {
            self.mentions.features.insert(feature.to_owned());
            return Ok(());
        }
        match name {
            "route" => self.mentions.route = true,
            "client" => self.mentions.client = true,
            "headers" => self.mentions.all_headers = true,
            "features" => self.mentions.all_features = true,
            "request" => self.mentions.request.get_or_insert_default().whole = true,
            "answer" if self.answers => self.mentions.answer.get_or_insert_default().whole = true,
            _ => {
                let known = if self.answers {
                    "the variables are `answer`, `request`, `headers`, `features`, `route` and `client`"
                } else {
                    "the variables are `request`, `headers`, `features`, `route` and `client`"
                };
                return self.fault(tree.id, format!("unknown variable `{name}`: {known}"));
            }
        }
        Ok(())
    }

    fn call(&mut self, tree: &'a IdedExpr, call: &'a CallExpr) -> Result<(), CompileError> {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (operators::INDEX, [of, key]) => {
                if string(key).is_none() {
                    self.expr(key)?;
                }
                return self.access(tree, of, string(key), false);
            }
            (operators::IN, [key, of]) => {
                if let (Some(key), Some(variable)) = (string(key), indexable(of)) {
                    self.guarded.insert((variable, key.to_owned()));
                    self.lower_case(tree, variable, key);
                }
            }
            (operators::EQUALS | operators::NOT_EQUALS, [a, b]) => self.text_with_text(tree, a, b),
            (operators::ADD, [a, b]) if self.iterating && !self.may_add(a) && !self.may_add(b) => {
                return self
                    .fault(tree.id, "within an iteration, `+` takes a number as a literal: texts are not joined");
            }
            _ => {}
        }
        if !FUNCTIONS.contains(&name) {
            let message = format!("unknown function `{name}`");
            return Err(CompileError { message, offset: self.places.call_offset(tree.id, name) });
        }
        if let Some(target) = &call.target {
            let is_namespace = matches!(&target.expr, Expr::Ident(name) if name == "optional");
            if !is_namespace {
                self.expr(target)?;
            }
        }
        call.args.iter().try_for_each(|arg| self.expr(arg))
    }

    /// What a macro collects, and numbers: adding them joins no texts.
    fn may_add(&self, operand: &IdedExpr) -> bool {
        match &operand.expr {
            Expr::Literal(literal) => !matches!(literal, LiteralValue::String(_) | LiteralValue::Bytes(_)),
            Expr::Ident(name) => name.starts_with('@') && self.scopes.contains(&name.as_str()),
            _ => false,
        }
    }

    /// `of.key`, `of["key"]`, `of[anything]` or `has(of.key)`.
    fn access(
        &mut self,
        tree: &'a IdedExpr,
        of: &'a IdedExpr,
        key: Option<&str>,
        test: bool,
    ) -> Result<(), CompileError> {
        if let (Some(variable), Some(key)) = (indexable(of), key) {
            self.lower_case(tree, variable, key);
            if variable == "features" {
                self.mentions.indexed.insert(key.to_owned());
            }
            if test {
                self.guarded.insert((variable, key.to_owned()));
            } else {
                self.bare.push((variable, key.to_owned(), tree.id));
            }
        }
        match path(tree) {
            Some((variable, _)) if variable == "answer" && !self.answers => self.expr(of),
            Some((variable, path)) => {
                let mentioned = &mut self.mentions;
                let mask = if variable == "answer" { &mut mentioned.answer } else { &mut mentioned.request };
                let mut mask = mask.get_or_insert_default();
                for field in path {
                    mask = mask.fields.entry(field.to_owned()).or_default();
                }
                mask.whole = true;
                Ok(())
            }
            None => self.expr(of),
        }
    }

    fn lower_case(&mut self, tree: &IdedExpr, variable: &str, key: &str) {
        if variable == "headers" && key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.warn(tree.id, format!("the names in `headers` are in lower case: {:?}", key.to_ascii_lowercase()));
        }
    }

    fn text_with_text(&mut self, tree: &IdedExpr, a: &IdedExpr, b: &IdedExpr) {
        let is_text = |expr: &IdedExpr| matches!(&expr.expr, Expr::Ident(name) if name.starts_with(names::HEADER));
        let is_other = |expr: &IdedExpr| matches!(&expr.expr, Expr::Literal(literal) if !matches!(literal, LiteralValue::String(_)));
        if (is_text(a) && is_other(b)) || (is_other(a) && is_text(b)) {
            self.warn(tree.id, "a header is text and never equals anything else: put the value in quotes");
        }
    }

    /// Whether a name has a meaning already.
    fn is_taken(&self, name: &str) -> bool {
        VARIABLES.contains(&name) || (self.answers && name == "answer")
    }

    fn iteration(&mut self, tree: &'a IdedExpr, iteration: &'a ComprehensionExpr) -> Result<(), CompileError> {
        let over = &iteration.iter_range;
        if self.iterating {
            return self.fault(tree.id, "an iteration within an iteration");
        }
        if matches!(&over.expr, Expr::Map(_)) || variable(over).is_some_and(|name| self.is_taken(name)) {
            return self.fault(tree.id, "iterations run over lists only, not over maps");
        }
        for name in [Some(&iteration.iter_var), iteration.iter_var2.as_ref()].into_iter().flatten() {
            if self.is_taken(name) {
                return self.fault(tree.id, format!("`{name}` has a meaning: take another name"));
            }
        }
        self.iterating = true;
        self.expr(over)?;
        self.expr(&iteration.accu_init)?;
        let outside = self.scopes.len();
        self.scopes.push(&iteration.accu_var);
        self.scopes.push(&iteration.iter_var);
        self.scopes.extend(iteration.iter_var2.as_deref());
        for part in [&iteration.loop_cond, &iteration.loop_step, &iteration.result] {
            self.expr(part)?;
        }
        self.scopes.truncate(outside);
        self.iterating = false;
        Ok(())
    }
}

fn variable(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Ident(name) => Some(name),
        _ => None,
    }
}

/// The variables whose keys come and go.
fn indexable(expr: &IdedExpr) -> Option<&'static str> {
    match variable(expr)? {
        "headers" => Some("headers"),
        "features" => Some("features"),
        _ => None,
    }
}

fn string(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// The fields that lead from `request` or `answer` to this node, outermost first, where all of them are literals.
fn path(expr: &IdedExpr) -> Option<(&str, Vec<&str>)> {
    match &expr.expr {
        Expr::Ident(name) => matches!(name.as_str(), "request" | "answer").then(|| (name.as_str(), Vec::new())),
        Expr::Select(select) => {
            let (variable, mut fields) = path(&select.operand)?;
            fields.push(&select.field);
            Some((variable, fields))
        }
        Expr::Call(call) if call.func_name == operators::INDEX => {
            let [of, key] = call.args.as_slice() else { return None };
            let (variable, mut fields) = path(of)?;
            fields.push(string(key)?);
            Some((variable, fields))
        }
        _ => None,
    }
}
