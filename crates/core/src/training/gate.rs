//! What a checkpoint must show before it may be served.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, Program, Value};

/// A condition on a checkpoint.
#[derive(Debug)]
pub enum Gate {
    /// A CEL expression over `metrics` and `champion`, two maps of numbers.
    Expression {
        /// As it was written.
        source: String,
        /// Compiled.
        program: Box<Program>,
    },
    /// A shell command that ends with 0 where the checkpoint passes; its directory is in the environment.
    Command(String),
}

/// A gate that cannot be one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadGate {
    /// The expression does not compile.
    #[error("gate `{source_text}`: {why}")]
    Expression {
        /// The expression.
        source_text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The command is empty.
    #[error("gate `cmd:` names no command")]
    NoCommand,
}

/// What a gate said.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// The checkpoint passes.
    Passed,
    /// It does not, for this reason.
    Failed(String),
    /// The shell is to run this command.
    Run(String),
}

/// Metrics by name.
pub type Metrics = BTreeMap<String, f64>;

impl Gate {
    /// The gate that is written so: `cmd:COMMAND`, or CEL.
    ///
    /// ```
    /// use mainstay_core::training::gate::{Gate, Metrics, Verdict};
    ///
    /// let gate = Gate::parse("metrics.accuracy >= 0.95 && metrics.accuracy >= champion.accuracy - 0.01")?;
    /// let metrics = |accuracy: f64| Metrics::from([("accuracy".to_owned(), accuracy)]);
    /// assert_eq!(gate.judge(&metrics(0.96), Some(&metrics(0.965))), Verdict::Passed);
    /// assert!(matches!(gate.judge(&metrics(0.96), Some(&metrics(0.99))), Verdict::Failed(_)));
    /// # Ok::<(), mainstay_core::training::gate::BadGate>(())
    /// ```
    pub fn parse(text: &str) -> Result<Gate, BadGate> {
        if let Some(command) = text.strip_prefix("cmd:") {
            let command = command.trim();
            return if command.is_empty() { Err(BadGate::NoCommand) } else { Ok(Gate::Command(command.to_owned())) };
        }
        let bad = |why: String| BadGate::Expression { source_text: text.to_owned(), why };
        let program = Program::compile(text).map_err(|error| bad(error.to_string()))?;
        let known = ["metrics", "champion", "has_champion"];
        if let Some(unknown) = program.references().variables().into_iter().find(|name| !known.contains(name)) {
            return Err(bad(format!("there is no `{unknown}`; there are `metrics`, `champion` and `has_champion`")));
        }
        Ok(Gate::Expression { source: text.to_owned(), program: Box::new(program) })
    }

    /// As it was written.
    pub fn source(&self) -> String {
        match self {
            Gate::Expression { source, .. } => source.clone(),
            Gate::Command(command) => format!("cmd:{command}"),
        }
    }

    /// Judges a checkpoint. A metric that is not finite fails every expression; without a champion, `champion` is the
    /// checkpoint itself: it is not worse than itself. What cannot be evaluated does not pass.
    pub fn judge(&self, metrics: &Metrics, champion: Option<&Metrics>) -> Verdict {
        let program = match self {
            Gate::Command(command) => return Verdict::Run(command.clone()),
            Gate::Expression { program, .. } => program,
        };
        if let Some((name, value)) = metrics.iter().find(|(_, value)| !value.is_finite()) {
            return Verdict::Failed(format!("metrics.{name} is {value}"));
        }
        let mut context = Context::default();
        context.add_variable_from_value("metrics", map(metrics));
        context.add_variable_from_value("champion", map(champion.unwrap_or(metrics)));
        context.add_variable_from_value("has_champion", Value::Bool(champion.is_some()));
        match program.execute(&context) {
            Ok(Value::Bool(true)) => Verdict::Passed,
            Ok(Value::Bool(false)) => {
                Verdict::Failed(format!("`{}` does not hold with {}", self.source(), shown(metrics)))
            }
            Ok(_) => Verdict::Failed(format!("`{}` is neither true nor false", self.source())),
            Err(error) => Verdict::Failed(format!("`{}` cannot be evaluated: {error}", self.source())),
        }
    }
}

fn map(metrics: &Metrics) -> Value {
    let entries = metrics.iter().map(|(name, value)| (Key::from(name.clone()), Value::Float(*value)));
    Value::Map(Map { map: Arc::new(entries.collect()) })
}

fn shown(metrics: &Metrics) -> String {
    let pairs: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    if pairs.is_empty() { "no metrics".to_owned() } else { pairs.join(", ") }
}

/// Whether a metric is not worse than the champion's by more than chance: the lower end of the 95 % interval of the difference of two
/// independent means (Welch) is at least -`margin`. `lower_is_better` turns it round.
pub fn is_not_worse(candidate: Measured, champion: Measured, margin: f64, lower_is_better: bool) -> bool {
    let sign = if lower_is_better { -1.0 } else { 1.0 };
    let difference = sign * (candidate.mean - champion.mean);
    let error = (candidate.error.powi(2) + champion.error.powi(2)).sqrt();
    difference.is_finite() && error.is_finite() && difference - crate::stats::Z_95 * error >= -margin
}

/// A metric and how well it is known.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measured {
    /// Its value.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
}
