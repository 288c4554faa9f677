//! From text to tree, within bounds.

use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::{Macro, MacroExprHelper, ParseError};
use cel::{DeclarationError, Env};

use super::{CompileError, MAX_BYTES, MAX_NESTING, MAX_OPERATORS, names};

/// The language: CEL's standard library with `header` and `feature`.
pub(super) static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    add_macros(&mut env).expect("the standard library has neither `header` nor `feature`");
    Arc::new(env)
});

/// Where the nodes of a tree stand in the text.
pub(super) struct Places<'a> {
    info: SourceInfo,
    source: &'a str,
}

impl Places<'_> {
    /// The byte at which a node starts.
    pub(super) fn offset(&self, id: u64) -> usize {
        self.info.offset_for(id).map_or(0, |(start, _)| byte_of(self.source, start as usize))
    }

    /// The byte at which a call's name starts; the node itself stands at the bracket.
    pub(super) fn call_offset(&self, id: u64, name: &str) -> usize {
        let bracket = self.offset(id);
        let named = self.source[..bracket].trim_end().strip_suffix(name);
        named.map_or(bracket, str::len)
    }
}

/// Parses a text that is neither too long nor too deep.
pub(super) fn parse(source: &str) -> Result<(IdedExpr, Places<'_>), CompileError> {
    within_bounds(source)?;
    let parser = LANGUAGE.parser().max_recursion_depth(u16::MAX);
    match parser.parse_with_source_info(source) {
        Ok((tree, info)) => Ok((tree, Places { info, source })),
        Err(errors) => Err(first_error(source, &errors.errors)),
    }
}

/// The parser and the interpreter recurse along brackets, selections and operators: these are counted first, strings
/// and comments apart, so that neither can run out of stack.
fn within_bounds(source: &str) -> Result<(), CompileError> {
    let fault = |message: String, offset| Err(CompileError { message, offset });
    if source.len() > MAX_BYTES {
        return fault(format!("longer than {MAX_BYTES} bytes"), MAX_BYTES);
    }
    let (mut depth, mut operators) = (0_usize, 0_usize);
    let mut rest = Scanner { bytes: source.as_bytes(), at: 0 };
    while let Some((offset, byte)) = rest.next_code_byte() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        operators += usize::from(b"([{.?:+-*/%<>!&|=".contains(&byte));
        if depth > MAX_NESTING {
            return fault(format!("nested more than {MAX_NESTING} deep"), offset);
        }
        if operators > MAX_OPERATORS {
            return fault(format!("more than {MAX_OPERATORS} operators"), offset);
        }
    }
    Ok(())
}

/// Walks over a text's bytes outside of strings and comments.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn next_code_byte(&mut self) -> Option<(usize, u8)> {
        loop {
            let offset = self.at;
            let byte = *self.bytes.get(offset)?;
            self.at += 1;
            match byte {
                b'"' | b'\'' => self.skip_string(offset, byte),
                b'/' if self.bytes.get(self.at) == Some(&b'/') => self.skip_line(),
                _ => return Some((offset, byte)),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.bytes.get(self.at).is_some_and(|byte| *byte != b'\n') {
            self.at += 1;
        }
    }

    /// A string that does not end is left after its quote: whatever follows counts as code.
    fn skip_string(&mut self, open: usize, quote: u8) {
        let raw = self.is_raw(open);
        let triple = self.bytes[open..].starts_with(&[quote; 3]);
        let mut at = if triple { open + 3 } else { open + 1 };
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'\\' if !raw => at += 2,
                b'\n' | b'\r' if !triple => return,
                _ if byte != quote => at += 1,
                _ if !triple => return self.at = at + 1,
                _ if self.bytes[at..].starts_with(&[quote; 3]) => return self.at = at + 3,
                _ => at += 1,
            }
        }
    }

    /// Whether the quote at `open` has a prefix such as `r` or `br`, in either case.
    fn is_raw(&self, open: usize) -> bool {
        let word = self.bytes[..open].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
        let prefix: Vec<u8> = word.take(3).map(u8::to_ascii_lowercase).collect();
        matches!(prefix.as_slice(), b"r" | b"rb" | b"br")
    }
}

/// The parser's first complaint, with its line and column turned into bytes.
fn first_error(source: &str, errors: &[ParseError]) -> CompileError {
    let Some(error) = errors.first() else {
        return CompileError { message: "not an expression".to_owned(), offset: 0 };
    };
    let line = usize::try_from(error.pos.0).unwrap_or(0).saturating_sub(1);
    let column = usize::try_from(error.pos.1).unwrap_or(0).saturating_sub(1);
    let lines = source.split_inclusive('\n');
    let start: usize = lines.clone().take(line).map(str::len).sum();
    let offset = start + lines.clone().nth(line).map_or(0, |text| byte_of(text, column));
    let message = plain(&error.msg);
    CompileError { message, offset: offset.min(source.len()) }
}

/// A complaint without the grammar's vocabulary.
fn plain(complaint: &str) -> String {
    let complaint = complaint.trim_start_matches("Syntax error: ");
    let complaint = complaint.split(" expecting ").next().unwrap_or(complaint);
    if complaint.ends_with("'<EOF>'") {
        return "the expression ends too early".to_owned();
    }
    let openings =
        ["token recognition error at: ", "extraneous input ", "mismatched input ", "no viable alternative at input "];
    match openings.iter().find_map(|opening| complaint.strip_prefix(opening)) {
        Some(what) => format!("unexpected {what}"),
        None => complaint.to_owned(),
    }
}

/// The parser counts characters.
fn byte_of(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(byte, _)| byte)
}

/// `header("x")` becomes a variable; `feature("ref", DEFAULT)` becomes `has ? value : DEFAULT`. That their names are
/// literals makes them checkable, and evaluating them a lookup.
fn add_macros(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_macro(Macro::global_var_arg("header", |helper, _, args| {
        let call = helper.next_expr(Expr::Unspecified).id;
        let Some(name) = args.first().and_then(string_literal).filter(|_| args.len() == 1) else {
            return Err(helper.new_error(call, "write header(\"name\"), with the name as a literal"));
        };
        let name = format!("{}{}", names::HEADER, name.to_ascii_lowercase());
        Ok(Some(helper.next_expr(Expr::Ident(name))))
    }))?;
    env.add_macro(Macro::global_var_arg("feature", |helper, _, args| {
        let call = helper.next_expr(Expr::Unspecified).id;
        let Some(name) = args.first().and_then(string_literal).filter(|_| args.len() == 2) else {
            return Err(helper.new_error(call, "write feature(\"ref\", DEFAULT), with the reference as a literal"));
        };
        let default = args.pop().unwrap_or_default();
        args.clear();
        Ok(Some(feature_or(helper, &name, default)))
    }))
}

fn feature_or(helper: &mut MacroExprHelper<'_>, name: &str, default: IdedExpr) -> IdedExpr {
    let has = helper.next_expr(Expr::Ident(format!("{}{name}", names::HAS_FEATURE)));
    let value = helper.next_expr(Expr::Ident(format!("{}{name}", names::FEATURE)));
    helper.next_expr(Expr::Call(CallExpr {
        func_name: operators::CONDITIONAL.to_owned(),
        target: None,
        args: vec![has, value, default],
    }))
}

fn string_literal(expr: &IdedExpr) -> Option<String> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
        _ => None,
    }
}
