//! Criteria: CEL over measured facts.
//!
//! A criterion names facts as they are called in [`STEP_FACTS`]: `detected_s < 60.0 && unanswered_class[0] == 0`. It asks for
//! those of another step as `experiment.STEP.FACT`, and how often events of a type came as `count("breaker.changed")`.
//! What was not measured is `null`; a comparison with it does not hold.

use serde_json::Value;

use crate::expr::{CompileError, Facts as Asked, Program};

/// Facts of a step, with what each is.
pub const STEP_FACTS: &[(&str, &str)] = &[
    (
        "detected_s",
        "seconds from the injection to the first sign of it: a deeper level, an open breaker, a failed health check, an endpoint left out, an alert, drift, a signal beyond its bound, or an incident",
    ),
    ("detected_by", "what that sign was, as the type of an event"),
    ("paged_s", "seconds from the injection to the first page that was delivered"),
    ("acknowledged_s", "seconds from the injection to the moment when somebody took an incident"),
    (
        "mitigated_s",
        "seconds from the injection until the experiment's arm was answered again to the end of the fault, within the margin; 0 where it always was",
    ),
    ("recovered_s", "seconds from the withdrawal until all was well again"),
    ("requests", "requests of the route, from the injection to the run's end"),
    ("unanswered", "those of them that nobody answered: 429, 5xx"),
    ("unanswered_share", "the same as a share"),
    ("requests_class", "requests by class, a list of four"),
    ("unanswered_class", "unanswered requests by class, a list of four"),
    ("unanswered_share_class", "the same as shares"),
    ("p99_s", "the 99 % quantile of the latency of the experiment's arm under the fault, in seconds"),
    ("control_p99_s", "the same of its control"),
    ("max_level", "the deepest level that answered the experiment's arm under the fault"),
    ("levels", "answers of the experiment's arm under the fault by level, a list of five"),
    ("breaker_opened", "whether a breaker opened"),
    ("incident_opened", "whether an incident was opened"),
    ("incident_types", "the types of these incidents, a list"),
    ("verdict", "what the experiment showed, such as \"tolerated\""),
    ("injected", "requests that met the fault"),
];

/// Facts of the whole day that a step has not; of the others, times are the longest of all steps, counts their sum.
pub const DAY_FACTS: &[(&str, &str)] = &[("verdicts", "the verdicts of all steps, a list")];

/// Facts that a day has not: each step has its own.
const STEP_ONLY: [&str; 2] = ["verdict", "detected_by"];

/// What a criterion is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Within {
    /// One step.
    Step,
    /// The whole day.
    Day,
}

impl Within {
    /// The facts that there are, by name.
    pub fn names(self) -> Vec<&'static str> {
        let step = STEP_FACTS.iter().map(|(name, _)| *name);
        match self {
            Within::Step => step.collect(),
            Within::Day => {
                step.filter(|name| !STEP_ONLY.contains(name)).chain(DAY_FACTS.iter().map(|(name, _)| *name)).collect()
            }
        }
    }
}

/// Names of the language that stand for parts of a request; a criterion knows none.
const OF_REQUESTS: [&str; 7] = ["request", "headers", "header", "features", "feature", "route", "client"];

/// A criterion that can be asked.
#[derive(Clone, Debug)]
pub struct Compiled {
    program: Program,
    /// What it names: a fact, or `experiment.STEP.FACT`.
    mentions: Vec<Vec<String>>,
}

/// What a criterion said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Whether it holds.
    pub held: bool,
    /// The facts that it names, and why it does not hold where that is not plain.
    pub measured: String,
}

impl Compiled {
    /// Compiles a criterion of a scenario with these steps.
    pub fn new(text: &str, steps: &[&str], within: Within) -> Result<Compiled, CompileError> {
        Compiled::over(text, steps, &within.names())
    }

    /// Compiles a criterion over facts of other names, without steps.
    pub fn of_facts(text: &str, names: &[&str]) -> Result<Compiled, CompileError> {
        Compiled::over(text, &[], names)
    }

    fn over(text: &str, steps: &[&str], names: &[&str]) -> Result<Compiled, CompileError> {
        let rewritten = Rewriting::run(text, steps, names)?;
        let program = Program::compile(&rewritten.out).map_err(|error| {
            let known = error.message.starts_with("unknown variable");
            let name = error.message.split('`').nth(1).unwrap_or_default().to_owned();
            let message = if known { unknown(&name, names) } else { error.message.clone() };
            CompileError { message, offset: rewritten.origin(error.offset).min(text.len()) }
        })?;
        Ok(Compiled { program, mentions: rewritten.mentions })
    }

    /// The facts that it names: a name, `events` and a type, or `experiment`, a step and a name.
    pub fn mentions(&self) -> impl Iterator<Item = &[String]> {
        self.mentions.iter().map(Vec::as_slice)
    }

    /// Asks it of facts; `experiment` within them holds those of the steps.
    pub fn ask(&self, facts: &Value) -> Said {
        let document = Document(facts);
        let mut named: Vec<String> = Vec::new();
        for path in &self.mentions {
            let value = path.iter().fold(facts, |at, key| &at[key.as_str()]);
            let line = format!("{} = {}", path.join("."), shown(value));
            if !named.contains(&line) {
                named.push(line);
            }
        }
        let missing = self.mentions.iter().any(|path| path.iter().fold(facts, |at, key| &at[key.as_str()]).is_null());
        let (held, why) = match self.program.matches(&document) {
            Ok(held) => (held, None),
            Err(_) if missing => (false, Some("not measured".to_owned())),
            Err(error) => (false, Some(error.to_string())),
        };
        named.extend(why);
        Said { held, measured: named.join("; ") }
    }
}

/// A value in few words.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(it) if number.is_f64() => format!("{}", (it * 1e4).round() / 1e4),
            _ => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("unknown fact `{name}`: there are {}, `experiment` and `count(\"TYPE\")`", known.join(", "))
}

/// Puts facts where the language has a request, and counts where it has features.
struct Rewriting<'a> {
    text: &'a str,
    out: String,
    /// Where something was put in, and by how many bytes it is longer.
    longer: Vec<(usize, usize)>,
    mentions: Vec<Vec<String>>,
}

impl Rewriting<'_> {
    fn run<'a>(text: &'a str, steps: &[&str], facts: &[&str]) -> Result<Rewriting<'a>, CompileError> {
        let mut it =
            Rewriting { text, out: String::with_capacity(text.len() + 64), longer: Vec::new(), mentions: Vec::new() };
        let (mut at, mut quote, mut before) = (0, None, ' ');
        while let Some(letter) = text[at..].chars().next() {
            let starts = quote.is_none() && !is_word(before) && before != '.';
            let word: &str = if starts { word_at(text, at) } else { "" };
            let fault = |message: String| Err(CompileError { message, offset: at });
            if OF_REQUESTS.contains(&word) {
                return fault(unknown(word, facts));
            } else if word == "count" {
                at = it.count(at)?;
                before = ')';
                continue;
            } else if word == "experiment" {
                it.experiment(at, steps)?;
                it.insert("request.");
            } else if facts.contains(&word) {
                it.mentions.push(vec![word.to_owned()]);
                it.insert("request.");
            }
            if !word.is_empty() {
                it.out.push_str(word);
                at += word.len();
                before = 'a';
                continue;
            }
            match quote {
                Some(open) if open == letter && before != '\\' => quote = None,
                None if letter == '"' || letter == '\'' => quote = Some(letter),
                _ => {}
            }
            it.out.push(letter);
            at += letter.len_utf8();
            before = letter;
        }
        Ok(it)
    }

    fn insert(&mut self, text: &str) {
        self.longer.push((self.out.len(), text.len()));
        self.out.push_str(text);
    }

    /// `count("TYPE")`; where it ends.
    fn count(&mut self, at: usize) -> Result<usize, CompileError> {
        let fault = || CompileError {
            message: "`count` takes the type of an event as a text: `count(\"breaker.changed\")`".to_owned(),
            offset: at,
        };
        let rest = self.text[at + "count".len()..].trim_start();
        let rest = rest.strip_prefix('(').ok_or_else(fault)?.trim_start();
        let quote = rest.chars().next().filter(|it| matches!(it, '"' | '\'')).ok_or_else(fault)?;
        let (kind, rest) = rest[1..].split_once(quote).ok_or_else(fault)?;
        let rest = rest.trim_start().strip_prefix(')').ok_or_else(fault)?;
        let is_type = kind.contains('.') && kind.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '.' | '_'));
        if !is_type {
            return Err(fault());
        }
        self.insert("");
        let end = self.text.len() - rest.len();
        let call = format!("feature(\"{kind}\", 0)");
        self.longer.push((self.out.len(), call.len().saturating_sub(end - at)));
        self.out.push_str(&call);
        self.mentions.push(vec!["events".to_owned(), kind.to_owned()]);
        Ok(end)
    }

    /// `experiment.STEP.FACT` or `experiment["STEP"].FACT`: both must exist.
    fn experiment(&mut self, at: usize, steps: &[&str]) -> Result<(), CompileError> {
        let fault = |message: String| Err(CompileError { message, offset: at });
        let rest = &self.text[at + "experiment".len()..];
        let step = if let Some(rest) = rest.strip_prefix('.') {
            word_at(rest, 0)
        } else {
            let quoted = rest.strip_prefix("[\"").and_then(|rest| rest.split_once("\"]"));
            quoted.map_or("", |(step, _)| step)
        };
        let known = steps.iter().any(|it| *it == step || it.replace('-', "_") == step);
        if !known {
            let names: Vec<String> = steps.iter().map(|it| format!("`{}`", it.replace('-', "_"))).collect();
            return fault(format!("`experiment` is followed by a step, one of {}", names.join(", ")));
        }
        let after = rest.find(step).map_or("", |found| &rest[found + step.len()..]);
        let fact = after.trim_start_matches(['"', ']']).strip_prefix('.').map_or("", |rest| word_at(rest, 0));
        if !Within::Step.names().contains(&fact) {
            let what = if fact.is_empty() { "a fact".to_owned() } else { format!("a fact, not by `{fact}`") };
            return fault(format!("`experiment.{step}` is followed by {what}, such as `.verdict`"));
        }
        self.mentions.push(vec!["experiment".to_owned(), step.to_owned(), fact.to_owned()]);
        Ok(())
    }

    /// Where a place of the rewritten text was.
    fn origin(&self, offset: usize) -> usize {
        let before = self.longer.iter().take_while(|(at, _)| *at < offset);
        before.fold(offset, |left, (at, longer)| left.saturating_sub((*longer).min(offset - at)))
    }
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn word_at(text: &str, at: usize) -> &str {
    let rest = &text[at..];
    if rest.starts_with(|letter: char| letter.is_ascii_digit()) {
        return "";
    }
    &rest[..rest.find(|letter| !is_word(letter)).unwrap_or(rest.len())]
}

struct Document<'a>(&'a Value);

impl Asked for Document<'_> {
    fn header(&self, _: &str) -> Option<&str> {
        None
    }
    fn headers(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    fn request(&self) -> Option<&Value> {
        Some(self.0)
    }
    fn feature(&self, reference: &str) -> Option<Value> {
        self.0["events"].get(reference).cloned()
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
