//! Game days.

use mainstay_core::chaos::gameday::Scenario;
use mainstay_core::chaos::gameday::record::{Answer, Mode};
use mainstay_core::event::format_time;
use mainstay_core::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gamedays::Head;

/// Longest text of an answer, in bytes.
const TEXT_MAX: usize = 8_000;
/// Most answers at once.
const ANSWERS_MAX: usize = 200;

/// `GET /api/v1/gamedays`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Gamedays {
    /// The last first.
    gamedays: Vec<GamedayLine>,
    /// Scenarios of the config.
    scenarios: Vec<ScenarioLine>,
}

/// A game day in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GamedayLine {
    /// `GD-YYYY-NNNN`.
    id: String,
    /// The scenario's name.
    scenario: String,
    /// `live` or `tabletop`.
    mode: &'static str,
    /// `running`, `ended` or `aborted`.
    phase: &'static str,
    /// Whether all criteria held; absent where not all were judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    passed: Option<bool>,
    /// When it began.
    started: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    /// Who led it.
    by: String,
    /// Findings that it opened or saw again.
    findings: Vec<String>,
}

/// A scenario in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ScenarioLine {
    /// Its name.
    name: String,
    /// What it is about.
    title: String,
    /// The names of its steps.
    steps: Vec<String>,
}

impl Gamedays {
    pub(crate) fn of(days: &[Head], scenarios: &[Scenario]) -> Gamedays {
        let line = |it: &Head| GamedayLine {
            id: it.id.clone(),
            scenario: it.scenario.clone(),
            mode: match it.mode {
                Mode::Live => "live",
                Mode::Tabletop => "tabletop",
            },
            phase: it.phase.name(),
            passed: it.passed,
            started: format_time(it.started),
            ended: it.ended.map(format_time),
            by: it.by.clone(),
            findings: it.findings.clone(),
        };
        let scenario = |it: &Scenario| ScenarioLine {
            name: it.name.clone(),
            title: it.title.clone(),
            steps: it.step_names().into_iter().map(str::to_owned).collect(),
        };
        Gamedays { gamedays: days.iter().map(line).collect(), scenarios: scenarios.iter().map(scenario).collect() }
    }
}

/// `GET /api/v1/gamedays`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GamedaysQuery {
    pub(crate) limit: Option<usize>,
}

/// `POST /api/v1/gamedays`: either `name` or `scenario`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GamedayRequest {
    /// A scenario of the config.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// A scenario in full.
    #[serde(default)]
    pub(crate) scenario: Option<Value>,
    /// `live` (default) or `tabletop`.
    #[serde(default)]
    mode: Option<String>,
}

impl GamedayRequest {
    pub(crate) fn is_live(&self) -> Result<bool, String> {
        match self.mode.as_deref() {
            None | Some("live") => Ok(true),
            Some("tabletop") => Ok(false),
            Some(other) => Err(format!("`mode` is live or tabletop, not `{other}`")),
        }
    }
}

/// `POST /api/v1/gamedays/{id}/stop`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GamedayStopRequest {
    /// Why.
    reason: String,
}

impl GamedayStopRequest {
    pub(crate) fn checked(self) -> Result<String, String> {
        let reason = self.reason.trim();
        if reason.is_empty() || reason.len() > 1_000 {
            return Err("`reason` has 1 to 1,000 bytes".to_owned());
        }
        Ok(reason.to_owned())
    }
}

/// `POST /api/v1/gamedays/{id}/answers`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GamedayAnswers {
    /// What was said.
    answers: Vec<GamedayAnswer>,
}

/// What was said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GamedayAnswer {
    /// The step; absent: the whole scenario.
    #[serde(default)]
    step: Option<String>,
    /// What was asked.
    #[serde(default)]
    question: String,
    /// What was said.
    text: String,
    /// Who said it; absent: whoever writes it down.
    #[serde(default)]
    by: Option<String>,
}

impl GamedayAnswers {
    pub(crate) fn checked(self, caller: &str, now: Time) -> Result<Vec<Answer>, String> {
        if self.answers.is_empty() || self.answers.len() > ANSWERS_MAX {
            return Err(format!("there are 1 to {ANSWERS_MAX} `answers`"));
        }
        let one = |it: GamedayAnswer| {
            if it.text.trim().is_empty() || it.text.len() > TEXT_MAX || it.question.len() > TEXT_MAX {
                return Err(format!("an answer has a `text`, and at most {TEXT_MAX} bytes of it"));
            }
            let by = it.by.filter(|by| !by.trim().is_empty() && by.len() <= 200).unwrap_or_else(|| caller.to_owned());
            Ok(Answer { at: now, by, step: it.step, question: it.question, text: it.text })
        };
        self.answers.into_iter().map(one).collect()
    }
}

/// `GET /api/v1/gamedays/findings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GamedayFindingsQuery {
    state: Option<String>,
}

impl GamedayFindingsQuery {
    /// Whether open ones are wanted; `None`: all.
    pub(crate) fn checked(&self) -> Result<Option<bool>, String> {
        match self.state.as_deref() {
            None | Some("all") => Ok(None),
            Some("open") => Ok(Some(true)),
            Some("closed") => Ok(Some(false)),
            Some(other) => Err(format!("`state` is all, open or closed, not `{other}`")),
        }
    }
}
