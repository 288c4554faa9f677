//! Incidents and runbooks.

#![expect(clippy::struct_field_names, reason = "the names are those of the JSON")]

mod schema;

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::event::{format_time, parse_time};
use mainstay_core::incident::kind::{self, Severity};
use mainstay_core::incident::record::{self, Act, Findings};
use mainstay_core::response::delivery::Delivery;
use mainstay_core::response::desk::{Asked, New, told};
use mainstay_core::response::signature::{Opens, Signature};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;

/// `GET /api/v1/incidents`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Incidents {
    /// The last first.
    pub(crate) incidents: Vec<IncidentLine>,
}

/// An incident in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IncidentLine {
    /// `AI-YYYYMMDD-NNNN`.
    id: String,
    /// Its type.
    #[serde(rename = "type")]
    kind: String,
    /// What it is, in a line; as it came.
    title: String,
    /// `sev1` to `sev4`.
    severity: &'static str,
    /// `detected`, `investigating`, `mitigating`, `resolved`, `post_mortem`, `cancelled` or `merged`.
    status: &'static str,
    /// When what is wrong began.
    onset: String,
    /// When it was found.
    detected: String,
    /// When somebody took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<String>,
    /// Who took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_by: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<String>,
    /// Since when it seems to be resolved, where somebody must say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    proposed: Option<String>,
    /// Routes that it touches.
    routes: Vec<String>,
}

impl IncidentLine {
    pub(crate) fn of(it: &record::Incident) -> IncidentLine {
        IncidentLine {
            id: it.id.clone(),
            kind: it.kind.clone(),
            title: it.title.clone(),
            severity: it.severity.as_str(),
            status: it.status.as_str(),
            onset: format_time(it.onset),
            detected: format_time(it.detected),
            acknowledged: it.acknowledged.map(format_time),
            acknowledged_by: it.acknowledged_by.clone(),
            resolved: it.resolved.map(format_time),
            proposed: it.proposed.map(format_time),
            routes: it.routes.clone(),
        }
    }
}

/// Which incidents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IncidentsQuery {
    pub(crate) status: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) severity: Option<String>,
    pub(crate) route: Option<String>,
    pub(crate) limit: Option<usize>,
}

impl IncidentsQuery {
    /// Whether it asks for what is open alone.
    pub(crate) fn is_open(&self) -> bool {
        self.status.as_deref() == Some("open")
    }

    /// Whether an incident is wanted, or what is wrong with the question.
    pub(crate) fn checked(&self) -> Result<impl Fn(&record::Incident) -> bool + use<>, String> {
        let words = || kind::Status::ALL.map(kind::Status::as_str).join(", ");
        let (any, open) = match self.status.as_deref() {
            None | Some("all") => (None, false),
            Some("open") => (None, true),
            Some(word) => {
                let status = kind::Status::from_word(word);
                (Some(status.ok_or_else(|| format!("`status` is open, all, {}", words()))?), false)
            }
        };
        let severity = self.severity.as_deref().map(severity).transpose()?;
        let (kind, route) = (self.kind.clone(), self.route.clone());
        Ok(move |it: &record::Incident| {
            any.is_none_or(|status| it.status == status)
                && (!open || it.status.is_open())
                && severity.is_none_or(|severity| it.severity == severity)
                && kind.as_ref().is_none_or(|kind| it.kind == *kind)
                && route.as_ref().is_none_or(|route| it.routes.contains(route))
        })
    }
}

fn severity(word: &str) -> Result<Severity, String> {
    Severity::from_word(word).ok_or_else(|| format!("`{word}` is no severity: they are sev1 to sev4"))
}

/// An incident, what can be done about it, and what was sent.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Incident {
    /// The incident.
    #[schemars(with = "schema::Incident")]
    incident: record::Incident,
    /// What mainstay could do at once, if somebody approves it.
    proposals: Vec<Proposal>,
    /// Notices, in the order in which they were made.
    #[schemars(with = "Vec<schema::Notice>")]
    notices: Vec<Delivery>,
}

/// Something that could be done.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Proposal {
    /// What it is, in a line.
    text: String,
    /// The action, as `POST incidents/{id}/actions` takes it.
    #[serde(flatten)]
    #[schemars(with = "ActionRequest")]
    act: Act,
}

impl Incident {
    pub(crate) fn of(incident: &record::Incident, proposals: &[Act], notices: &[Delivery]) -> Incident {
        let proposals = proposals.iter().map(|act| Proposal { text: told(act), act: act.clone() });
        Incident { incident: incident.clone(), proposals: proposals.collect(), notices: notices.to_vec() }
    }
}

/// The body of `POST /api/v1/incidents`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewIncident {
    /// What it is, in a line.
    title: String,
    /// Its type. Default: unclassified.
    #[serde(default, rename = "type")]
    kind: Option<String>,
    /// `sev1` to `sev4`. Default: sev3.
    #[serde(default)]
    severity: Option<String>,
    /// Routes that it touches.
    #[serde(default)]
    routes: Vec<String>,
    /// When it began, where that is known.
    #[serde(default)]
    onset: Option<String>,
    /// What is known.
    #[serde(default)]
    note: Option<String>,
}

impl NewIncident {
    pub(crate) fn checked(self, kind: &str, or: Severity) -> Result<New, String> {
        let onset = self.onset.map(|text| {
            parse_time(&text).ok_or_else(|| format!("`onset` {text} is not a time of RFC 3339 since 1970"))
        });
        Ok(New {
            title: self.title,
            kind: self.kind.unwrap_or_else(|| kind.to_owned()),
            severity: self.severity.as_deref().map(severity).transpose()?.unwrap_or(or),
            routes: self.routes,
            onset: onset.transpose()?,
            note: self.note,
        })
    }
}

/// The body of `POST /api/v1/incidents/{id}/notes`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoteRequest {
    /// What is to be written down.
    pub(crate) text: String,
}

/// The body of `POST /api/v1/incidents/{id}/status`; at least one of the first four.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StandingRequest {
    /// Where it stands from now on.
    #[serde(default)]
    status: Option<String>,
    /// How bad it is.
    #[serde(default)]
    severity: Option<String>,
    /// What type it is.
    #[serde(default, rename = "type")]
    kind: Option<String>,
    /// The incident that it is a part of: it is merged into that.
    #[serde(default)]
    into: Option<String>,
    /// Why.
    #[serde(default)]
    reason: String,
}

impl StandingRequest {
    /// All of it, or what is wrong with it.
    pub(crate) fn asked(self) -> Result<Vec<Asked>, String> {
        let StandingRequest { status, severity: severity_word, kind, into, reason } = self;
        let mut asked = Vec::new();
        if let Some(kind) = kind {
            asked.push(Asked::Type { kind, reason: reason.clone() });
        }
        if let Some(word) = severity_word {
            asked.push(Asked::Severity { to: severity(&word)?, reason: reason.clone() });
        }
        match (status.as_deref(), into) {
            (None | Some("merged"), Some(into)) => asked.push(Asked::Merge { into, reason }),
            (Some(_), Some(_)) => return Err("`into` merges: give no other `status` with it".to_owned()),
            (Some(word), None) => {
                let words = || kind::Status::ALL.map(kind::Status::as_str).join(", ");
                let to = kind::Status::from_word(word).ok_or_else(|| format!("`status` is one of {}", words()))?;
                asked.push(Asked::Status { to, reason });
            }
            (None, None) => {}
        }
        if asked.is_empty() {
            return Err("give at least one of `status`, `severity`, `type` and `into`".to_owned());
        }
        Ok(asked)
    }
}

/// The body of `POST /api/v1/incidents/{id}/actions`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActionRequest {
    /// `pin_level`, `cached_features`, `previous_model`, `raise_sampling`, `block_pattern` or `stop_experiment`.
    action: String,
    /// The route; of all but `previous_model` and `stop_experiment`.
    #[serde(default)]
    route: Option<String>,
    /// The level; of `pin_level`.
    #[serde(default)]
    level: Option<u8>,
    /// The model; of `previous_model`.
    #[serde(default)]
    model: Option<String>,
    /// What requests must not hold; of `block_pattern`.
    #[serde(default)]
    pattern: Option<String>,
    /// The run; of `stop_experiment`.
    #[serde(default)]
    run: Option<String>,
    /// How long, such as `30m`. Default: as the config says.
    #[serde(default, rename = "for")]
    lasting: Option<String>,
}

impl ActionRequest {
    pub(crate) fn asked(self) -> Result<Asked, String> {
        let ActionRequest { action, route, level, model, pattern, run, lasting } = self;
        let given = [
            ("route", route.is_some()),
            ("level", level.is_some()),
            ("model", model.is_some()),
            ("pattern", pattern.is_some()),
            ("run", run.is_some()),
        ];
        let takes: &[&str] = match action.as_str() {
            "pin_level" => &["route", "level"],
            "cached_features" | "raise_sampling" => &["route"],
            "previous_model" => &["model"],
            "block_pattern" => &["route", "pattern"],
            "stop_experiment" => &["run"],
            other => {
                return Err(format!(
                    "there is no action `{other}`; there are pin_level, cached_features, previous_model, raise_sampling, block_pattern, stop_experiment"
                ));
            }
        };
        if let Some((name, _)) = given.iter().find(|(name, given)| *given && !takes.contains(name)) {
            return Err(format!("{action} takes no `{name}`"));
        }
        let needs = |name: &str| format!("{action} needs a `{name}`");
        let with_route = || route.clone().ok_or_else(|| needs("route"));
        let act = match action.as_str() {
            "pin_level" => Act::PinLevel { route: with_route()?, level: level.ok_or_else(|| needs("level"))? },
            "cached_features" => Act::CachedFeatures { route: with_route()? },
            "raise_sampling" => Act::RaiseSampling { route: with_route()? },
            "stop_experiment" => Act::StopExperiment { run: run.ok_or_else(|| needs("run"))? },
            "previous_model" => Act::PreviousModel { model: model.ok_or_else(|| needs("model"))? },
            _ => Act::BlockPattern { route: with_route()?, pattern: pattern.ok_or_else(|| needs("pattern"))? },
        };
        let lasting =
            lasting.map(|text| duration(&text).ok_or_else(|| format!("`for` {text} is not a duration such as 30m")));
        Ok(Asked::Act { act, lasting: lasting.transpose()? })
    }
}

/// The body of `PUT /api/v1/incidents/{id}/review`; what is left out or empty stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindingsRequest {
    /// What caused it.
    #[serde(default)]
    root_cause: String,
    /// What helped it along.
    #[serde(default)]
    contributing: Vec<String>,
    /// What went well.
    #[serde(default)]
    went_well: Vec<String>,
    /// What could improve.
    #[serde(default)]
    could_improve: Vec<String>,
    /// Where luck helped.
    #[serde(default)]
    lucky: Vec<String>,
    /// How it could be found sooner.
    #[serde(default)]
    detection: Vec<String>,
    /// How it could be prevented.
    #[serde(default)]
    prevention: Vec<String>,
    /// What is to be done; one with the `id` of an item that is there replaces it.
    #[serde(default)]
    #[schemars(with = "Vec<schema::Item>")]
    items: Vec<record::Item>,
}

impl FindingsRequest {
    pub(crate) fn findings(self) -> Findings {
        let FindingsRequest { root_cause, contributing, went_well, could_improve, lucky, detection, prevention, items } =
            self;
        Findings { root_cause, contributing, went_well, could_improve, lucky, detection, prevention, items }
    }
}

/// In which form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewQuery {
    pub(crate) format: Option<String>,
}

/// Of which time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsQuery {
    window: Option<String>,
}

impl MetricsQuery {
    pub(crate) fn window(&self, or: Duration, longest: Duration) -> Result<Duration, String> {
        let Some(text) = &self.window else { return Ok(or) };
        let window = duration(text).filter(|window| !window.is_zero() && *window <= longest);
        window.ok_or_else(|| format!("`window` {text} is not a duration such as 30d, of at most ten years"))
    }
}

/// `GET /api/v1/runbooks`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Runbooks {
    /// One for each type.
    pub(crate) runbooks: Vec<RunbookLine>,
}

/// A type of incident.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RunbookLine {
    /// Its name.
    #[serde(rename = "type")]
    kind: String,
    /// Its name for people.
    title: String,
    /// What it is.
    about: String,
}

impl RunbookLine {
    pub(crate) fn of(it: &Signature) -> RunbookLine {
        RunbookLine { kind: it.kind.clone(), title: it.title.clone(), about: it.about.clone() }
    }
}

/// `GET /api/v1/runbooks/{type}`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Runbook {
    #[serde(flatten)]
    line: RunbookLine,
    /// The severity that it has at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    /// What it shows itself by.
    signals: Vec<RunbookSignal>,
    /// What usually causes it.
    causes: Vec<String>,
    /// What to do at once.
    actions: Vec<RunbookAction>,
    /// How to find the cause.
    steps: Vec<String>,
    /// Who is told, and who next, where no policy says so.
    escalation: Vec<String>,
    /// What a review asks.
    questions: Vec<String>,
    /// What may prevent it.
    prevention: Vec<String>,
    /// The escalation policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
}

/// Something that a type shows itself by.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RunbookSignal {
    /// Its name.
    name: String,
    /// What it is.
    text: String,
    /// Whether it opens an incident: `no`, `held` (when it has lasted) or `at_once`.
    opens: &'static str,
}

/// Something to do at once.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RunbookAction {
    /// What.
    text: String,
    /// The action by which mainstay does it itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
}

impl Runbook {
    pub(crate) fn of(it: &Signature, policy: Option<String>) -> Runbook {
        let opens = |opens| match opens {
            Opens::No => "no",
            Opens::Held => "held",
            Opens::AtOnce => "at_once",
        };
        let signals = it.signals.iter();
        let actions = it.actions.iter();
        Runbook {
            line: RunbookLine::of(it),
            severity: it.severity.map(Severity::as_str),
            signals: signals
                .map(|it| RunbookSignal { name: it.name.clone(), text: it.text.clone(), opens: opens(it.opens) })
                .collect(),
            causes: it.causes.clone(),
            actions: actions.map(|it| RunbookAction { text: it.text.clone(), action: it.action.clone() }).collect(),
            steps: it.steps.clone(),
            escalation: it.escalation.clone(),
            questions: it.questions.clone(),
            prevention: it.prevention.clone(),
            policy,
        }
    }
}

/// `POST /api/v1/alerts`: Alertmanager's webhook, version 4. Fields that are not named here are passed over.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "the body is read by hand; this says what it is")]
pub(crate) struct AlertsWebhook {
    /// `"4"`.
    version: String,
    /// What its alerts were grouped by.
    #[schemars(rename = "groupKey")]
    group_key: String,
    /// `firing` or `resolved`.
    status: String,
    /// The receiver's name.
    receiver: String,
    /// The alerts, at most 10,000.
    alerts: Vec<AlertsAlert>,
}

/// An alert.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "the body is read by hand; this says what it is")]
pub(crate) struct AlertsAlert {
    /// `firing` or `resolved`.
    status: String,
    /// What it is about. `incident_type` names a type of incident; `severity`, `route`, `backend`, `features` and `model` are understood.
    labels: BTreeMap<String, String>,
    /// What is said about it; `summary` becomes its line.
    annotations: BTreeMap<String, String>,
    /// Since when.
    #[schemars(rename = "startsAt")]
    starts_at: String,
}

/// What was taken of a webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AlertsTaken {
    /// Alerts that were taken in.
    pub(crate) alerts: usize,
    /// Alerts that Alertmanager left out.
    pub(crate) left_out: u64,
}
