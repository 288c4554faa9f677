//! An experiment as people write it: one fault, whom it may touch, what is expected, and when it stops.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::written;
use crate::route::Class;

/// Longest time that a fault may be in force.
pub const DURATION_MAX: Duration = Duration::from_hours(24);
/// Longest time without a word of the arms after which a run may still go on.
const SILENT_MAX: Duration = Duration::from_hours(1);
/// Fastest that a run may let an error budget burn: with 99.9 % promised, when nobody is answered.
const BURN_MAX: f64 = 1_000.0;

/// Most bytes of [`Experiment::canonical`]: with its run and its journal it has to fit where it rests.
pub const TEXT_MAX: usize = 64 << 10;

/// An experiment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// What it is about, in a line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What is believed to hold while the fault is in force.
    pub hypothesis: String,
    /// The route.
    pub route: String,
    /// The backend or feature set by name; absent: what the route's best entry uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What goes wrong.
    pub fault: Fault,
    /// How far it may reach.
    #[serde(default)]
    pub blast: Blast,
    /// The chance that a request of the experiment's arm meets the fault.
    #[serde(default = "one", with = "written::share")]
    pub dose: f64,
    /// Whom it may touch.
    #[serde(default)]
    pub cohort: Cohort,
    /// What bounds it besides.
    #[serde(default)]
    pub caps: Caps,
    /// How long the fault is in force.
    #[serde(with = "written::duration")]
    pub duration: Duration,
    /// How long both arms are watched before: the steady state, and a test of the instrument.
    #[serde(default = "lead_in", with = "written::duration")]
    pub lead_in: Duration,
    /// Within which time all must be well again afterwards.
    #[serde(default = "recovery", with = "written::duration")]
    pub recovery: Duration,
    /// What is tolerated.
    #[serde(default)]
    pub margin: Margin,
    /// What should answer the fault.
    #[serde(default, skip_serializing_if = "Expected::is_empty")]
    pub expect: Expected,
    /// What ends it early.
    #[serde(default)]
    pub stop: Stop,
    /// Lets a fault that corrupts answers meet real traffic.
    #[serde(default, skip_serializing_if = "is_false")]
    pub force: bool,
}

/// How far an experiment may reach.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blast {
    /// At most 5 % of one route.
    #[default]
    Limited,
    /// At most 25 % of one route.
    Moderate,
    /// Up to all of it.
    Full,
}

impl Blast {
    /// The largest share of a route's requests that may be in the experiment's arm.
    pub const fn share_max(self) -> f64 {
        match self {
            Blast::Limited => 0.05,
            Blast::Moderate => 0.25,
            Blast::Full => 1.0,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Blast::Limited => "limited",
            Blast::Moderate => "moderate",
            Blast::Full => "full",
        }
    }
}

/// Whom an experiment may touch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    /// The share of units in the experiment's arm, of those that the rest lets in. As many are its control.
    #[serde(default = "five", with = "written::share")]
    pub share: f64,
    /// What is assigned to an arm and stays there.
    #[serde(default)]
    pub by: Unit,
    /// Only these classes; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Class>,
    /// Only these clients; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<String>,
    /// Only requests that carry all of these headers with these values; names in lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whether it touches real requests or only the operator's own.
    #[serde(default)]
    pub traffic: Traffic,
}

/// What is assigned to an arm.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Each request for itself, by its id.
    #[default]
    Request,
    /// A client.
    Client,
    /// Whoever sends the same value of a header, such as a user or a session; without it, the request.
    Header(String),
}

/// Which requests are touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    /// All, the operator's own among them.
    #[default]
    All,
    /// Only synthetic requests.
    Synthetic,
}

/// What bounds a fault besides its share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// Requests that meet it at the same time.
    #[serde(default = "concurrent")]
    pub concurrent: u32,
    /// Requests that meet it in all.
    #[serde(default = "total")]
    pub total: u64,
}

/// What is tolerated: the experiment's arm against its control.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margin {
    /// More unanswered requests, as a share of requests.
    #[serde(default = "errors_margin", with = "written::share")]
    pub errors: f64,
    /// The 99 % quantile of the latency as a multiple.
    #[serde(default = "latency_margin")]
    pub p99: f64,
}

/// What should answer the fault.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The level that touched requests are answered from, at the deepest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// Types of incidents that should open; others end the experiment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<String>,
}

impl Expected {
    fn is_empty(&self) -> bool {
        *self == Expected::default()
    }
}

/// What ends an experiment early.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// An error budget of the route burns at this rate, in its short and its long window.
    #[serde(default = "burn")]
    pub burn: f64,
    /// The experiment's arm has more unanswered requests than its control, by a test that may be looked at at any time.
    #[serde(default = "yes")]
    pub errors: bool,
    /// Bounds on the experiment's arm, all of them over the last minute.
    #[serde(default)]
    pub guards: Guards,
    /// Nothing was heard of the arms for so long.
    #[serde(default = "silent", with = "written::duration")]
    pub silent: Duration,
    /// An incident that is not expected opens.
    #[serde(default = "yes")]
    pub incidents: bool,
}

/// Bounds on the experiment's arm.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guards {
    /// The share of unanswered requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<f64>,
    /// The 99 % quantile of the latency.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional_duration")]
    pub p99: Option<Duration>,
}

const fn one() -> f64 {
    1.0
}
const fn five() -> f64 {
    0.05
}
const fn lead_in() -> Duration {
    Duration::from_mins(2)
}
const fn recovery() -> Duration {
    Duration::from_mins(5)
}
const fn concurrent() -> u32 {
    64
}
const fn total() -> u64 {
    100_000
}
const fn errors_margin() -> f64 {
    0.01
}
const fn latency_margin() -> f64 {
    3.0
}
const fn burn() -> f64 {
    14.4
}
const fn silent() -> Duration {
    Duration::from_secs(30)
}
const fn yes() -> bool {
    true
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Default for Cohort {
    fn default() -> Cohort {
        Cohort {
            share: five(),
            by: Unit::Request,
            classes: Vec::new(),
            clients: Vec::new(),
            headers: BTreeMap::new(),
            traffic: Traffic::All,
        }
    }
}

impl Default for Caps {
    fn default() -> Caps {
        Caps { concurrent: concurrent(), total: total() }
    }
}

impl Default for Margin {
    fn default() -> Margin {
        Margin { errors: errors_margin(), p99: latency_margin() }
    }
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { burn: burn(), errors: true, guards: Guards::default(), silent: silent(), incidents: true }
    }
}

/// How both arms come about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Design {
    /// Two shares of the units at the same time.
    Concurrent,
    /// All units, in blocks of time that have the fault and blocks that have not.
    Switchback,
}

impl Experiment {
    /// How its arms come about: at the same time, unless it takes so much that nobody is left to compare with, or touches everybody.
    pub fn design(&self) -> Design {
        if self.cohort.share > 0.5 || matches!(self.fault, Fault::Overload(_)) {
            Design::Switchback
        } else {
            Design::Concurrent
        }
    }

    /// The plan in one line of text, the same for the same plan: what an approval is bound to.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).expect("texts, numbers and lists become JSON")
    }

    /// All that is wrong with it by itself. What it points at is looked up elsewhere.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut say = |is_wrong: bool, text: String| {
            if is_wrong {
                wrong.push(text);
            }
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let named = (1..=80).contains(&self.name.len()) && self.name.chars().all(is_name);
        say(!named, "`name` has 1 to 80 letters, digits, `-` and `_`".to_owned());
        say(self.hypothesis.trim().is_empty(), "`hypothesis` says what is believed to hold".to_owned());
        for (text, name, max) in
            [(&self.title, "title", 200), (&self.hypothesis, "hypothesis", 2_000), (&self.route, "route", 200)]
        {
            say(text.len() > max, format!("`{name}` has at most {max} bytes"));
        }
        let too_long = self.canonical().len() > TEXT_MAX;
        say(too_long, format!("an experiment has at most {TEXT_MAX} bytes in all: keep texts, names and values short"));
        if let Err(text) = self.fault.check() {
            say(true, format!("`fault.{}`: {text}", self.fault.name()));
        }
        let is_share = |share: f64| share > 0.0 && share <= 1.0;
        say(!is_share(self.dose), "`dose` is above 0% and at most 100%".to_owned());
        let cohort = &self.cohort;
        say(!is_share(cohort.share), "`cohort.share` is above 0% and at most 100%".to_owned());
        let (share, max) = (written::format_share(cohort.share), written::format_share(self.blast.share_max()));
        let beyond = cohort.share > self.blast.share_max();
        say(beyond, format!("`cohort.share` is {share}: `blast: {}` allows at most {max}", self.blast.name()));
        let whole = matches!(self.fault, Fault::Overload(_)) && self.blast == Blast::Limited;
        say(whole, "an overload reaches the whole route: `blast` is `moderate` or `full`".to_owned());
        say(cohort.headers.len() > 16, "`cohort.headers` has at most 16 headers".to_owned());
        say(cohort.clients.len() > 1_000, "`cohort.clients` has at most 1,000 clients".to_owned());
        let upper = |name: &String| name.is_empty() || name.chars().any(|c| c.is_ascii_uppercase());
        say(cohort.headers.keys().any(upper), "`cohort.headers` has names in lower case".to_owned());
        let unit_is_wrong = matches!(&cohort.by, Unit::Header(name) if upper(name));
        say(unit_is_wrong, "`cohort.by.header` is a name in lower case".to_owned());
        say(self.caps.concurrent == 0 || self.caps.total == 0, "`caps` are above 0".to_owned());
        for (duration, name, least, most) in [
            (self.duration, "duration", Duration::from_secs(1), DURATION_MAX),
            (self.lead_in, "lead_in", Duration::ZERO, DURATION_MAX),
            (self.recovery, "recovery", Duration::from_secs(1), DURATION_MAX),
            (self.stop.silent, "stop.silent", Duration::from_secs(3), SILENT_MAX),
        ] {
            let (least_text, most_text) = (written::format_duration(least), written::format_duration(most));
            let outside = duration < least || duration > most;
            say(outside, format!("`{name}` is from {least_text} to {most_text}"));
        }
        let errors = self.margin.errors;
        say(!(errors > 0.0 && errors < 1.0), "`margin.errors` is above 0% and below 100%".to_owned());
        say(!(self.margin.p99 > 1.0 && self.margin.p99 <= 100.0), "`margin.p99` is above 1 and at most 100".to_owned());
        let burn_is_wrong = !(self.stop.burn > 0.0 && self.stop.burn <= BURN_MAX);
        say(burn_is_wrong, format!("`stop.burn` is above 0 and at most {BURN_MAX}"));
        let guard_is_wrong = self.stop.guards.unanswered.is_some_and(|share| !is_share(share));
        say(guard_is_wrong, "`stop.guards.unanswered` is above 0 and at most 1".to_owned());
        say(self.expect.level.is_some_and(|level| level > 4), "`expect.level` is from 0 to 4".to_owned());
        let unforced = self.fault.corrupts_answers() && cohort.traffic == Traffic::All && !self.force;
        say(
            unforced,
            format!(
                "`{}` gives wrong answers that look right: set `cohort.traffic: synthetic`, or `force: true`",
                self.fault.name()
            ),
        );
        wrong
    }
}
