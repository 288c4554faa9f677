//! What comes from outside: events, labels, flags, signals of services that do not run behind the gateway.
//!
//! ```text
//! body --lines--> JSON --wire type--> checked --> Received (an item for the store, and what it means to the engine)
//!                           `-------- every fault, with its line --------> nothing of the body is taken
//! ```
//!
//! A body is taken whole or not at all: one line that is wrong refuses all of it, with every fault named. What was
//! acknowledged is durable. Each item has a key, `(kind, client, id)`; the same content under the same key is a
//! repetition and counts once, other content is a conflict and changes nothing.

mod event;
mod lines;
pub(crate) mod report;

use std::time::Duration;

use mainstay_core::event::parse_time;
use mainstay_core::time::Time;
use mainstay_store::item::Item;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use event::{Observation, Observed, Reported};
pub(crate) use lines::{JSON, JSON_LINES, Media};
pub(crate) use report::{Flag, Label, Signal};

/// Most items in one body.
pub(crate) const ITEMS_MAX: usize = 10_000;
/// Longest body, in bytes.
pub(crate) const BODY_MAX: usize = 8 << 20;
/// Most faults that are named.
const FAULTS_MAX: usize = 100;
/// How far ahead of our clock an item may be. Clocks differ a little; what lies further ahead is a mistake.
const AHEAD_MAX: Duration = Duration::from_mins(5);
/// How old an item may be: what is older is not kept either.
const AGE_MAX: Duration = Duration::from_hours(30 * 24);
/// Longest id, name or word, in bytes.
const WORD_MAX: usize = 256;

/// One thing that was received, checked.
#[derive(Debug)]
pub(crate) struct Received {
    /// Its line in the body, from 1.
    pub(crate) line: usize,
    /// As it is stored; what it adds to budgets is for the engine to say.
    pub(crate) item: Item,
    /// What it means.
    pub(crate) meaning: Meaning,
}

/// What an item means to objectives.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Meaning {
    /// Something happened that they may count.
    Observed(Observation),
    /// An answer did harm.
    Harm {
        /// The request that it answered.
        request: String,
        /// When it was given.
        at: Time,
        /// The route that it was given on.
        route: Option<String>,
        /// The model that gave it.
        model: Option<String>,
    },
    /// It is kept for later.
    Nothing,
}

/// What is wrong with one line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LineFault {
    /// The line in the body, from 1.
    pub(crate) line: usize,
    /// The field, where it is one field's fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// What is wrong, and what would be right.
    pub(crate) message: String,
}

/// A wire type that becomes an item.
pub(crate) trait Incoming: DeserializeOwned + Serialize {
    /// Checks it, and says what it is and means.
    fn check(self, checks: &mut Checks<'_>) -> Option<(Item, Meaning)>;
}

/// Reads a body; on any fault all faults, at most a hundred of them.
pub(crate) fn read<I: Incoming>(
    body: &[u8],
    media: Media,
    routes: &[String],
    now: Time,
) -> Result<Vec<Received>, Vec<LineFault>> {
    let mut received = Vec::new();
    let mut faults = Vec::new();
    for (line, text) in lines::split(body, media) {
        if received.len() >= ITEMS_MAX {
            faults.push(LineFault {
                line,
                field: None,
                message: format!("at most {ITEMS_MAX} items are read at once"),
            });
            break;
        }
        let mut checks = Checks { line, routes, now, faults: Vec::new() };
        match serde_json::from_slice::<I>(text) {
            Ok(incoming) => {
                let checked = incoming.check(&mut checks);
                received.extend(checked.map(|(item, meaning)| Received { line, item, meaning }));
            }
            Err(error) => checks.fault(None, error.to_string()),
        }
        faults.append(&mut checks.faults);
        if faults.len() >= FAULTS_MAX {
            faults.truncate(FAULTS_MAX);
            break;
        }
    }
    if received.is_empty() && faults.is_empty() {
        faults.push(LineFault { line: 1, field: None, message: "the body is empty".to_owned() });
    }
    if faults.is_empty() { Ok(received) } else { Err(faults) }
}

/// What a line is checked against, and what was found.
#[derive(Debug)]
pub(crate) struct Checks<'a> {
    line: usize,
    routes: &'a [String],
    now: Time,
    faults: Vec<LineFault>,
}

impl Checks<'_> {
    fn fault(&mut self, field: Option<&str>, message: impl Into<String>) {
        self.faults.push(LineFault { line: self.line, field: field.map(str::to_owned), message: message.into() });
    }

    /// A time of RFC 3339, neither from the future nor too old; without one it is the present.
    fn time(&mut self, text: Option<&str>) -> Option<Time> {
        let Some(text) = text else { return Some(self.now) };
        let Some(at) = parse_time(text) else {
            self.fault(Some("at"), "this is not a time of RFC 3339 such as 2026-03-01T12:00:00Z");
            return None;
        };
        if at > self.now + AHEAD_MAX {
            let ahead = at.since(self.now).as_secs();
            self.fault(
                Some("at"),
                format!("this lies {ahead} s in the future; at most {} s are accepted", AHEAD_MAX.as_secs()),
            );
            return None;
        }
        if self.now.since(at) > AGE_MAX {
            self.fault(Some("at"), "this is more than 30 days ago, and would not be kept");
            return None;
        }
        Some(at)
    }

    /// A name or id: something, and not too long.
    fn word(&mut self, field: &str, text: &str) -> bool {
        let fine = !text.is_empty() && text.len() <= WORD_MAX && !text.chars().any(char::is_control);
        if !fine {
            self.fault(Some(field), format!("this must have 1 to {WORD_MAX} bytes and no control characters"));
        }
        fine
    }

    fn word_maybe(&mut self, field: &str, text: Option<&str>) -> bool {
        text.is_none_or(|text| self.word(field, text))
    }

    /// A route of the config, where one is named.
    fn route(&mut self, route: Option<&str>) -> bool {
        let known = route.is_none_or(|route| self.routes.iter().any(|known| known == route));
        if !known {
            self.fault(Some("route"), format!("there is no such route; known here: {}", self.routes.join(", ")));
        }
        known
    }

    fn ratio(&mut self, field: &str, value: Option<f64>) -> bool {
        let fine = value.is_none_or(|value| (0.0..=1.0).contains(&value));
        if !fine {
            self.fault(Some(field), "this must be a number from 0 to 1");
        }
        fine
    }

    fn at_most(&mut self, field: &str, value: Option<u64>, max: u64) -> bool {
        let fine = value.is_none_or(|value| value <= max);
        if !fine {
            self.fault(Some(field), format!("this must be at most {max}"));
        }
        fine
    }
}

/// What is stored of an item: its fields in their order, without the time, so that a repetition is known as one.
fn content<T: Serialize>(of: &T) -> String {
    serde_json::to_string(of).expect("wire types have string keys and finite numbers")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check<I: Incoming>(body: &str, expected: &Expect) {
        let now = Time::from_secs(1_772_366_400);
        let routes = ["score".to_owned(), "chat".to_owned()];
        let text = match read::<I>(body.as_bytes(), Media::Lines, &routes, now) {
            Ok(received) => {
                let shown = |r: &Received| {
                    format!(
                        "{} {:?} {}/{} {:?} {}\n  {:?}\n",
                        r.line, r.item.kind, r.item.client, r.item.id, r.item.about, r.item.body, r.meaning
                    )
                };
                received.iter().map(shown).collect::<Vec<_>>().concat()
            }
            Err(faults) => faults
                .iter()
                .map(|f| format!("{}: {}: {}\n", f.line, f.field.as_deref().unwrap_or("-"), f.message))
                .collect::<Vec<_>>()
                .concat(),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn events_are_read_line_by_line() {
        check::<Reported>(
            "{\"type\":\"request\",\"id\":\"r1\",\"route\":\"score\",\"code\":200,\"duration_us\":1500,\"confidence\":0.9}\n\n\
             {\"type\":\"prediction\",\"id\":\"r1\",\"client\":\"a\",\"model\":\"m\",\"at\":\"2026-03-01T11:59:00Z\"}\n\
             {\"type\":\"features\",\"id\":\"r1\",\"view\":\"account\",\"age_us\":5000000}\n",
            &expect![[r#"
                1 Request /r1 None {"type":"request","id":"r1","client":"","route":"score","code":200,"duration_us":1500,"confidence":0.9,"synthetic":false}
                  Observed(Observation { at: 1772366400.000000000, route: Some("score"), class: Class(3), model: None, what: Request { level: Level(0), code: 200, duration: Some(1.5ms), inference: None, confidence: Some(0.9) } })
                3 Prediction a/r1 None {"type":"prediction","id":"r1","client":"a","model":"m"}
                  Observed(Observation { at: 1772366340.000000000, route: None, class: Class(3), model: Some("m"), what: Prediction { confidence: None, inference: None } })
                4 Features /r1/account None {"type":"features","id":"r1","client":"","view":"account","age_us":5000000}
                  Observed(Observation { at: 1772366400.000000000, route: None, class: Class(3), model: None, what: Features { view: "account", age: 5s } })
            "#]],
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        check::<Reported>(
            "{\"type\":\"request\",\"id\":\"r1\",\"route\":\"scor\",\"code\":99}\n\
             {\"type\":\"request\",\"id\":\"\",\"code\":200,\"at\":\"2026-03-01T12:06:00Z\"}\n\
             {\"type\":\"request\",\"id\":\"r\",\"code\":200,\"confidence\":NaN}\n\
             {\"type\":\"request\",\"id\":\"r\",\"code\":200,\"confidence\":1.5,\"at\":\"2025-03-01T12:06:00Z\"}\n\
             {\"type\":\"request\",\"id\":\"r\",\"code\":200,\"latency\":3}\n\
             {\"type\":\"other\",\"id\":\"r\"}\n\
             [1]\n",
            &expect![[r"
                1: route: there is no such route; known here: score, chat
                1: code: this must be an HTTP status from 100 to 599
                2: at: this lies 360 s in the future; at most 300 s are accepted
                2: id: this must have 1 to 256 bytes and no control characters
                3: -: expected value at line 1 column 52
                4: at: this is more than 30 days ago, and would not be kept
                4: confidence: this must be a number from 0 to 1
                5: -: unknown field `latency`, expected one of `id`, `client`, `at`, `route`, `class`, `level`, `code`, `duration_us`, `inference_us`, `confidence`, `model`, `model_version`, `synthetic`
                6: -: unknown variant `other`, expected one of `request`, `prediction`, `features` at line 1 column 15
                7: -: invalid type: integer `1`, expected variant identifier at line 1 column 2
            "]],
        );
        check::<Reported>(
            "\n",
            &expect![[r"
            1: -: the body is empty
        "]],
        );
    }

    #[test]
    fn reports_are_about_requests() {
        check::<Label>(
            "{\"request_id\":\"r1\",\"label\":1}\n{\"request_id\":\"r1\",\"id\":\"x\",\"label\":\"cat\",\"weight\":0.5}\n",
            &expect![[r#"
                1 Label /r1 Some("r1") {"request_id":"r1","client":"","label":1}
                  Nothing
                2 Label /x Some("r1") {"request_id":"r1","client":"","id":"x","label":"cat","weight":0.5}
                  Nothing
            "#]],
        );
        check::<Flag>(
            "{\"request_id\":\"r1\",\"verdict\":\"confirmed\",\"kind\":\"toxicity\"}\n{\"request_id\":\"r1\",\"verdict\":\"maybe\"}\n",
            &expect![[r"
                2: -: unknown variant `maybe`, expected one of `confirmed`, `suspected`, `cleared` at line 1 column 36
            "]],
        );
        check::<Signal>(
            "{\"id\":\"s1\",\"name\":\"ctr\",\"value\":0.25,\"arm\":\"b\"}\n{\"id\":\"s2\",\"name\":\"ctr\",\"value\":1e999}\n",
            &expect![[r"
                2: -: number out of range at line 1 column 37
            "]],
        );
    }
}
