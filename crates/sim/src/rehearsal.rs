//! Game days in virtual time: each step's experiment, where its fault is one that the world has.
//!
//! Every step begins with a service that is well. What the world does not have, such as people, incidents and the experiment's own
//! runner, is not rehearsed: a criterion that names it is left open.

use std::time::Duration;

use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::fault::{Change, Fault, How, Point, Spoiled};
use mainstay_core::chaos::gameday::criterion::{Compiled, Within};
use mainstay_core::chaos::gameday::facts::Facts;
use mainstay_core::chaos::gameday::record::Outcome as Judged;
use mainstay_core::chaos::gameday::{Criterion, Scenario, Step as Planned, Wanted};
use mainstay_core::drill::{
    Around, Disturbance, Drill, Expectation, Happening, Hit, Model, Place, REQUESTS_MAX, Rate, Store, Users, What,
};
use mainstay_core::experiments::catalogue;
use mainstay_core::plan::Plan;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::route::Class;
use serde_json::Value;

use crate::{Line, run};

/// How long the service is left alone first, so that limits are where they would be.
const CALM_MIN: Duration = Duration::from_secs(10);

/// Facts that a world without people, incidents and a runner does not have.
const UNKNOWN: [&str; 9] = [
    "paged_s",
    "acknowledged_s",
    "recovered_s",
    "incident_opened",
    "incident_types",
    "verdict",
    "verdicts",
    "detected_by",
    "events",
];

/// Facts that a fault without arms does not have.
const OF_ARMS: [&str; 6] = ["mitigated_s", "p99_s", "control_p99_s", "max_level", "levels", "injected"];

/// What the config does not say.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How each backend is when it is well.
    pub model: Model,
    /// How the store of each feature set is when it is well.
    pub store: Store,
    /// How often the step's route is asked.
    pub rate: Rate,
    /// What share of that is of each class.
    pub classes: [f64; Class::COUNT],
    /// What decides everything that is random.
    pub seed: u64,
}

/// What came of a rehearsal.
#[derive(Clone, PartialEq, Debug)]
pub struct Rehearsal {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The day's own criteria.
    pub results: Vec<Judged>,
}

/// What came of a step.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Why it was not rehearsed.
    pub cannot: Option<String>,
    /// What was measured; absent where it was not rehearsed.
    pub facts: Option<Facts>,
    /// Its criteria.
    pub results: Vec<Judged>,
    /// What happened, in order.
    pub transcript: Vec<Line>,
}

impl Rehearsal {
    /// Whether no criterion was found not to hold.
    pub fn passed(&self) -> bool {
        self.steps.iter().flat_map(|step| &step.results).chain(&self.results).all(|it| it.held != Some(false))
    }
}

/// Rehearses a scenario that is right by itself.
pub fn rehearse(plan: &Plan, scenario: &Scenario, terms: &Terms) -> Rehearsal {
    let names = scenario.step_names();
    let mut steps: Vec<Step> = scenario.steps.iter().map(|step| rehearse_step(plan, step, terms)).collect();
    let measured: Vec<(&str, Facts)> =
        names.iter().zip(&steps).filter_map(|(name, step)| Some((*name, step.facts.clone()?))).collect();
    let beside: Vec<(&str, &Facts)> = measured.iter().map(|(name, facts)| (*name, facts)).collect();
    for (planned, step) in scenario.steps.iter().zip(&mut steps) {
        let facts = step.facts.clone();
        step.results = judge(&planned.criteria, &names, Within::Step, facts.as_ref(), &beside);
    }
    let all: Option<Vec<&Facts>> = steps.iter().map(|step| step.facts.as_ref()).collect();
    let day = all.map(|all| Facts::of_day(&all));
    let results = judge(&scenario.criteria, &names, Within::Day, day.as_ref(), &beside);
    Rehearsal { steps, results }
}

fn rehearse_step(plan: &Plan, planned: &Planned, terms: &Terms) -> Step {
    let name = planned.name().to_owned();
    let cannot = |why: String| Step {
        name: name.clone(),
        cannot: Some(why),
        facts: None,
        results: Vec::new(),
        transcript: Vec::new(),
    };
    let experiment = match &planned.experiment {
        Wanted::Inline(experiment) => Some((**experiment).clone()),
        Wanted::Named(named) => catalogue::all(plan).into_iter().find(|it| it.name == *named),
    };
    let Some(experiment) = experiment else {
        return cannot(format!("there is no experiment `{}`", planned.experiment.name()));
    };
    let drill = match drill(plan, &experiment, terms) {
        Ok(drill) => drill,
        Err(why) => return cannot(why),
    };
    let run = run(&drill, drill.seed);
    let facts = facts(&run.facts[0], &experiment);
    Step { name, cannot: None, facts: Some(facts), results: Vec::new(), transcript: run.transcript }
}

/// The drill that a step is, or why it is none.
fn drill(plan: &Plan, experiment: &Experiment, terms: &Terms) -> Result<Drill, String> {
    let route = plan.routes.iter().position(|route| route.name == experiment.route);
    let route = route.ok_or_else(|| format!("there is no route `{}`", experiment.route))?;
    let (begins, ends) = happening(plan, experiment, terms)?;
    let calm = experiment.lead_in.max(CALM_MIN);
    let over = calm + experiment.duration;
    let length = over + experiment.recovery;
    let asked = |backend: usize| {
        plan.routes[route].ladder.iter().filter_map(|entry| entry.answer.asked()).any(|it| it.backend.0 == backend)
    };
    let models = (0..plan.backends.len()).map(|backend| asked(backend).then_some(terms.model)).collect();
    let drill = Drill {
        name: experiment.name.clone(),
        title: experiment.hypothesis.clone(),
        seed: terms.seed,
        length,
        plan: plan.clone(),
        models,
        users: vec![Users {
            name: "all".to_owned(),
            route,
            rate: terms.rate,
            classes: terms.classes,
            retries: 0,
            day: None,
        }],
        script: vec![Happening { at: calm, what: begins }, Happening { at: over, what: ends }],
        expect: vec![Expectation {
            name: experiment.name.clone(),
            holds: "true".to_owned(),
            from: calm,
            to: length,
            known: None,
        }],
        around: Around { stores: vec![Some(terms.store); plan.features.len()], ..Around::default() },
    };
    if drill.first_backend(route).is_none() {
        return Err(format!("the route `{}` asks no backend", experiment.route));
    }
    let requests = drill.requests();
    if requests > REQUESTS_MAX {
        return Err(format!("it would send {requests:.0} requests: rehearse it with a lower rate"));
    }
    Ok(drill)
}

/// How the fault comes and how it goes.
fn happening(plan: &Plan, experiment: &Experiment, terms: &Terms) -> Result<(What, What), String> {
    let fault = &experiment.fault;
    let hit = match fault {
        Fault::ModelError(failing) => Hit::Ends(match failing.how {
            How::Status => Outcome::from_status(failing.status.unwrap_or(503), failing.retry_after),
            How::Connect | How::Tls | How::Reset => Outcome::failure(FailureKind::Transport),
            How::ErrorBody => Outcome::failure(FailureKind::Server),
        }),
        Fault::MalformedAnswer(_) => Hit::Ends(Outcome::failure(FailureKind::Server)),
        Fault::ModelLatency(delay) | Fault::FeatureLatency(delay) => Hit::Later(*delay),
        Fault::FeatureError(_) => Hit::Ends(Outcome::failure(FailureKind::Transport)),
        Fault::StaleFeatures(stale) => Hit::Older(stale.age),
        Fault::DataQuality(spoiled) if spoiled.change == Change::Missing => {
            Hit::Missing { defaults: has_defaults(plan, experiment, spoiled) }
        }
        Fault::Overload(overload) => {
            let times = |rate| match rate {
                Rate::PerSecond(rate) => Rate::PerSecond(rate * overload.factor),
                Rate::OfCapacity(rate) => Rate::OfCapacity(rate * overload.factor),
            };
            let load = |rate| What::Load { users: 0, rate };
            return Ok((load(times(terms.rate)), load(terms.rate)));
        }
        Fault::DataQuality(_)
        | Fault::WrongVersion(_)
        | Fault::SlowFirstToken(_)
        | Fault::StalledStream(_)
        | Fault::TruncatedStream(_) => {
            return Err(format!(
                "virtual time has no `{}`: other values, versions and streams for a part of the traffic are not in it",
                fault.name()
            ));
        }
    };
    if let Hit::Ends(Outcome::Caller { status }) = hit {
        return Err(format!("in virtual time no call is at fault itself, as `status: {status}` says"));
    }
    let target = plan.target_of(experiment).ok_or("it has no target")?;
    let at = if fault.point() == Point::Features {
        plan.features.iter().position(|set| set.name == target).map(Place::Features)
    } else {
        plan.backends.iter().position(|backend| backend.name == target).map(Place::Backend)
    };
    let at = at.ok_or_else(|| format!("there is no `{target}` at which its fault could come"))?;
    let disturbance = Disturbance { cohort: experiment.cohort.share, dose: experiment.dose, hit };
    Ok((What::Disturb { at, fault: Some(disturbance) }, What::Disturb { at, fault: None }))
}

/// Whether every value that the fault takes away has a default.
fn has_defaults(plan: &Plan, experiment: &Experiment, spoiled: &Spoiled) -> bool {
    let target = plan.target_of(experiment);
    plan.features.iter().find(|set| target.is_some_and(|target| set.name == target)).is_some_and(|set| {
        let taken = if spoiled.refs.is_empty() { &set.refs } else { &spoiled.refs };
        taken.iter().all(|name| set.defaults.contains_key(name))
    })
}

/// What criteria ask for, from what the world counted.
fn facts(counted: &Value, experiment: &Experiment) -> Facts {
    let classes = |key: &str| -> Option<[u64; Class::COUNT]> {
        let all: Vec<f64> = serde_json::from_value(counted[key].clone()).ok()?;
        all.iter().map(|count| *count as u64).collect::<Vec<_>>().try_into().ok()
    };
    let share = |part: u64, all: u64| (all > 0).then(|| part as f64 / all as f64);
    let (requests, unanswered) = (classes("requests_class"), classes("unanswered_class"));
    let sum = |of: Option<[u64; Class::COUNT]>| of.map(|all| all.iter().sum::<u64>());
    let arms: [&Value; 2] = [&counted["arms"][0], &counted["arms"][1]];
    let levels: [u64; 5] = serde_json::from_value(arms[1]["levels"].clone()).unwrap_or_default();
    Facts {
        detected_s: counted["noticed_s"].as_f64(),
        mitigated_s: mitigated(arms, experiment.margin.errors),
        requests: sum(requests),
        unanswered: sum(unanswered),
        unanswered_share: sum(unanswered).zip(sum(requests)).and_then(|(part, all)| share(part, all)),
        requests_class: requests,
        unanswered_class: unanswered,
        unanswered_share_class: requests
            .zip(unanswered)
            .map(|(all, part)| std::array::from_fn(|class| share(part[class], all[class]))),
        p99_s: arms[1]["p99_s"].as_f64(),
        control_p99_s: arms[0]["p99_s"].as_f64(),
        max_level: (0_u8..5).rev().find(|level| levels[usize::from(*level)] > 0),
        levels,
        breaker_opened: counted["opened"].as_f64().is_some_and(|times| times > 0.0),
        injected: counted["injected"].as_u64().unwrap_or(0),
        ..Facts::default()
    }
}

/// Seconds until the experiment's arm was answered again to the end of the fault; 0 where it always was.
fn mitigated(arms: [&Value; 2], margin: f64) -> Option<f64> {
    let seconds = |arm: &Value| -> Option<Vec<(u64, u64)>> { serde_json::from_value(arm["seconds"].clone()).ok() };
    let of_arm = seconds(arms[1])?;
    let of_control = seconds(arms[0]).unwrap_or_default();
    let share = |second: Option<&(u64, u64)>| match second {
        Some((unanswered, all)) if *all > 0 => *unanswered as f64 / *all as f64,
        _ => 0.0,
    };
    let is_bad = |second: usize| share(of_arm.get(second)) > share(of_control.get(second)) + margin;
    match (0..of_arm.len()).rev().find(|second| is_bad(*second)) {
        None => Some(0.0),
        Some(last) if last + 1 < of_arm.len() => Some((last + 1) as f64),
        Some(_) => None,
    }
}

fn judge(
    criteria: &[Criterion],
    steps: &[&str],
    within: Within,
    facts: Option<&Facts>,
    beside: &[(&str, &Facts)],
) -> Vec<Judged> {
    let document = facts.map_or(Value::Null, |facts| facts.document(beside));
    let one = |criterion: &Criterion| {
        let (held, measured) = match (Compiled::new(&criterion.holds, steps, within), facts) {
            (Err(error), _) => (Some(false), error.message),
            (Ok(_), None) => (None, "not rehearsed".to_owned()),
            (Ok(compiled), Some(_)) => match left_open(&compiled, &document) {
                Some(name) => (None, format!("not rehearsed: `{name}`")),
                None => {
                    let said = compiled.ask(&document);
                    (Some(said.held), said.measured)
                }
            },
        };
        Judged { name: criterion.name.clone(), holds: criterion.holds.clone(), held, measured }
    };
    criteria.iter().map(one).collect()
}

/// The first fact of a criterion that there is none of.
fn left_open(compiled: &Compiled, document: &Value) -> Option<String> {
    let is_open = |path: &[String]| {
        let of_step = path.first().is_some_and(|it| it == "experiment");
        let fact = if of_step { path.get(2) } else { path.first() };
        let has_step = !of_step || path.get(1).is_some_and(|step| !document["experiment"][step.as_str()].is_null());
        let measured = if of_step { &document["experiment"][path.get(1).map_or("", String::as_str)] } else { document };
        let has_arms = measured["injected"].as_u64().is_some_and(|count| count > 0);
        let missing = |fact: &str| UNKNOWN.contains(&fact) || !has_arms && OF_ARMS.contains(&fact);
        !has_step || fact.is_some_and(|fact| missing(fact))
    };
    compiled.mentions().find(|path| is_open(path)).map(|path| path.join("."))
}
