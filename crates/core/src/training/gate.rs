//! Whether a checkpoint is good enough: CEL over `metrics` and `champion`, an interval of the difference from the champion,
//! finite weights, or a command.

mod margin;

use serde_json::{Map, Value};

pub use margin::NotWorse;

use crate::expr::{CompileError, Facts, Program};

/// A gate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gate {
    /// An expression such as `metrics.accuracy >= 0.95`.
    Expression(Numbers),
    /// One metric is not worse than the champion's, by an interval of their difference.
    NotWorse(NotWorse),
    /// Every number in the files of the checkpoint is finite.
    Finite,
    /// A command that is run with the checkpoint's directory in its environment; code 0 is a yes.
    Command(String),
}

/// What a gate said.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Answer {
    /// The gate's text.
    pub gate: String,
    /// Whether the checkpoint passes.
    pub passed: bool,
    /// Why not.
    pub reason: String,
}

impl Gate {
    /// A gate from its text: `cmd:COMMAND`, `finite`, `not-worse:METRIC within MARGIN`, or an expression.
    pub fn parse(text: &str) -> Result<Gate, ParseError> {
        if let Some(command) = text.strip_prefix("cmd:") {
            return Ok(Gate::Command(command.trim().to_owned()));
        }
        if let Some(rest) = text.strip_prefix("not-worse:") {
            return NotWorse::parse(rest).map(Gate::NotWorse).ok_or(ParseError::NotWorse);
        }
        if text.trim() == "finite" {
            return Ok(Gate::Finite);
        }
        Ok(Gate::Expression(Numbers::parse(text)?))
    }

    /// Its text.
    pub fn text(&self) -> String {
        match self {
            Gate::Expression(numbers) => numbers.text.clone(),
            Gate::NotWorse(compared) => compared.text(),
            Gate::Finite => "finite".to_owned(),
            Gate::Command(command) => format!("cmd:{command}"),
        }
    }

    /// Whether it compares with the champion.
    pub fn names_champion(&self) -> bool {
        match self {
            Gate::Expression(numbers) => numbers.names_champion(),
            Gate::NotWorse(_) => true,
            Gate::Finite | Gate::Command(_) => false,
        }
    }
}

/// Why a text is no gate.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The expression is wrong.
    #[error(transparent)]
    Expression(#[from] CompileError),
    /// What follows `not-worse:` is wrong.
    #[error("must be such as not-worse:accuracy within 0.01, or not-worse:loss within 0.01 lower")]
    NotWorse,
}

/// An expression over the metrics of a checkpoint and of the champion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Numbers {
    text: String,
    program: Program,
}

impl Numbers {
    fn parse(text: &str) -> Result<Numbers, CompileError> {
        let program = Program::compile(&rooted(text))?;
        Ok(Numbers { text: text.to_owned(), program })
    }

    /// What the gate says of these metrics. Without a champion, `champion` is the checkpoint itself: it is not worse than itself,
    /// and whatever else the expression asks for is asked all the same. A metric that is no number or is missing never passes.
    pub fn ask(&self, metrics: &Map<String, Value>, champion: Option<&Map<String, Value>>) -> Answer {
        let answer = |passed, reason: String| Answer { gate: self.text.clone(), passed, reason };
        if let Some((name, _)) = metrics.iter().find(|(_, value)| !value.is_number()) {
            return answer(false, format!("`{name}` is no finite number"));
        }
        let champion = champion.unwrap_or(metrics);
        let request = serde_json::json!({ "metrics": metrics, "champion": champion });
        match self.program.matches(&Document(request)) {
            Ok(true) => answer(true, String::new()),
            Ok(false) => answer(false, "it does not hold".to_owned()),
            Err(error) => answer(false, error.to_string()),
        }
    }

    /// Whether it compares with the champion.
    pub fn names_champion(&self) -> bool {
        self.program.source().contains("request.champion")
    }
}

/// Puts `request.` in front of the two names, outside of strings: the language knows one document.
fn rooted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut quote = None;
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        let starts = quote.is_none() && !before.is_alphanumeric() && before != '_' && before != '.';
        let name = ["metrics", "champion"].into_iter().find(|name| {
            let rest = text[at..].strip_prefix(name);
            rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
        });
        if starts && name.is_some() {
            out.push_str("request.");
        }
        match quote {
            Some(open) if open == letter && before != '\\' => quote = None,
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            _ => {}
        }
        out.push(letter);
        before = letter;
    }
    out
}

struct Document(Value);

impl Facts for Document {
    fn header(&self, _: &str) -> Option<&str> {
        None
    }
    fn headers(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    fn request(&self) -> Option<&Value> {
        Some(&self.0)
    }
    fn feature(&self, _: &str) -> Option<Value> {
        None
    }
    fn features(&self) -> Vec<(String, Value)> {
        Vec::new()
    }
    fn route(&self) -> &'static str {
        ""
    }
    fn client(&self) -> &'static str {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(gate: &str, metrics: Value, champion: Option<Value>) -> bool {
        let Gate::Expression(numbers) = Gate::parse(gate).unwrap() else { panic!("an expression") };
        let map = |value: Value| value.as_object().unwrap().clone();
        numbers.ask(&map(metrics), champion.map(map).as_ref()).passed
    }

    #[test]
    fn gates_hold_or_do_not() {
        use serde_json::json;
        assert!(ask("metrics.accuracy >= 0.95", json!({"accuracy": 0.96}), None));
        assert!(!ask("metrics.accuracy >= 0.95", json!({"accuracy": 0.94}), None));
        assert!(!ask("metrics.accuracy >= 0.95", json!({}), None));
        assert!(!ask("metrics.accuracy >= 0.95", json!({"accuracy": "nan"}), None));
        let better = "metrics.accuracy >= champion.accuracy - 0.01";
        assert!(ask(better, json!({"accuracy": 0.5}), None));
        let both = "metrics.accuracy >= 0.8 && metrics.accuracy >= champion.accuracy";
        assert!(!ask(both, json!({"accuracy": 0.1}), None), "without a champion the floor holds all the same");
        assert!(ask(better, json!({"accuracy": 0.95}), Some(json!({"accuracy": 0.955}))));
        assert!(!ask(better, json!({"accuracy": 0.9}), Some(json!({"accuracy": 0.955}))));
        assert!(Gate::parse("metrics.accuracy >=").is_err());
        assert_eq!(Gate::parse("cmd: ./check.sh").unwrap(), Gate::Command("./check.sh".to_owned()));
    }
}
