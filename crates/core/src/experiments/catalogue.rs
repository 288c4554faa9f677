//! Experiments that every plan has: for each route those that make sense there, with what its own ladder should answer.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chaos::experiment::{Blast, Caps, Cohort, Expected, Experiment, Margin, Stop, Traffic};
use crate::chaos::fault::{
    After, Change, DELAY_MAX, Delay, Failing, Fault, How, Malformed, Overload, Shape, Spoiled, Stale,
};
use crate::plan::{Asked, Backend, Entry, FeatureMode, FeatureSet, FeatureSetId, Plan, Route};

/// Most of a route's name in the name of an experiment.
const ROUTE_MAX: usize = 50;
/// How long both arms are watched before.
const LEAD_IN: Duration = Duration::from_mins(2);
/// Within which time all must be well again.
const RECOVERY: Duration = Duration::from_mins(5);

/// The experiments that this plan has by itself, in the order of its routes.
pub fn of(plan: &Plan) -> Vec<Experiment> {
    let mut taken = BTreeSet::new();
    let all = plan.routes.iter().flat_map(|route| of_route(plan, route));
    // Two routes whose names differ only in what an experiment's name cannot hold: the first has it.
    all.filter(|experiment| taken.insert(experiment.name.clone())).collect()
}

/// The config's own experiments, then those of [`of`] whose names the config does not take.
pub fn all(plan: &Plan) -> Vec<Experiment> {
    let mut all = plan.chaos.experiments.clone();
    let own: BTreeSet<&str> = plan.chaos.experiments.iter().map(|experiment| experiment.name.as_str()).collect();
    all.extend(of(plan).into_iter().filter(|experiment| !own.contains(experiment.name.as_str())));
    all
}

fn of_route(plan: &Plan, route: &Route) -> Vec<Experiment> {
    let make = Maker { plan, route };
    let mut out = Vec::new();
    if let Some(set) = plan.features_of(route).first() {
        out.extend(make.of_features(set));
    }
    if let Some(backend) = plan.backends_of(route).first() {
        out.extend(make.of_backend(backend));
        if route.protocol.is_of_language_models() {
            out.extend(make.of_language_model(backend));
        }
    }
    out.push(make.overload());
    out
}

struct Maker<'p> {
    plan: &'p Plan,
    route: &'p Route,
}

/// What differs from one experiment to the next.
struct Terms {
    name: &'static str,
    title: String,
    hypothesis: String,
    target: Option<String>,
    fault: Fault,
    blast: Blast,
    minutes: u64,
    level: u8,
    incidents: &'static [&'static str],
}

impl Maker<'_> {
    fn of_features(&self, set: &FeatureSet) -> Vec<Experiment> {
        let late = Duration::from_millis(500);
        // Within its timeout the store's answer is waited for.
        let level = if late < set.timeout { 0 } else { self.without_store(set) };
        let missing = self.without_values(set);
        let name = &set.name;
        let target = Some(name.clone());
        vec![
            self.experiment(Terms {
                name: "feature-store-latency",
                title: format!("The feature store of `{name}` answers 500 ms later"),
                hypothesis: format!(
                    "The store's timeout bounds the wait and {}; callers get an answer within the deadline",
                    self.answers(level)
                ),
                target: target.clone(),
                fault: Fault::FeatureLatency(Delay::Fixed(late)),
                blast: Blast::Limited,
                minutes: 15,
                level,
                incidents: &["feature_pipeline"],
            }),
            self.experiment(Terms {
                name: "stale-features",
                title: format!("The values of `{name}` are 24 hours older"),
                hypothesis: match set.max_age {
                    Some(_) => {
                        format!("Values beyond `max_age` are told as stale and counted, and {}", self.answers(0))
                    }
                    None => format!("Nothing bounds the age of values: nobody is told, and {}", self.answers(0)),
                },
                target: target.clone(),
                fault: Fault::StaleFeatures(Stale { age: Duration::from_hours(24) }),
                blast: Blast::Limited,
                minutes: 20,
                level: 0,
                incidents: &["feature_pipeline", "data_quality"],
            }),
            self.experiment(Terms {
                name: "data-quality",
                title: format!("The store does not know the values of `{name}`"),
                hypothesis: format!(
                    "Cached values and defaults stand in for what is missing, and {}",
                    self.answers(missing)
                ),
                target,
                fault: Fault::DataQuality(Spoiled { change: Change::Missing, refs: Vec::new() }),
                blast: Blast::Limited,
                minutes: 15,
                level: missing,
                incidents: &["data_quality", "feature_pipeline"],
            }),
        ]
    }

    fn of_backend(&self, backend: &Backend) -> Vec<Experiment> {
        let level = self.without_backend(&backend.name);
        let name = &backend.name;
        let target = Some(name.clone());
        vec![
            self.experiment(Terms {
                name: "primary-model-failure",
                title: format!("Every call to `{name}` fails"),
                hypothesis: format!(
                    "Retries stay within their budget, the breaker opens where it is asked often enough, and {}",
                    self.answers(level)
                ),
                target: target.clone(),
                fault: Fault::ModelError(Failing::default()),
                blast: Blast::Moderate,
                minutes: 10,
                level,
                incidents: &["serving_latency", "model_degradation"],
            }),
            self.experiment(Terms {
                name: "model-latency",
                title: format!("`{name}` answers later, some calls much later"),
                hypothesis: format!(
                    "The deadline of {} ms bounds the wait and {}",
                    self.route.deadline.as_millis(),
                    self.answers(level)
                ),
                target,
                fault: Fault::ModelLatency(Delay::Lognormal { median: self.late(), sigma: 1.0 }),
                blast: Blast::Limited,
                minutes: 15,
                level,
                incidents: &["serving_latency"],
            }),
        ]
    }

    fn of_language_model(&self, backend: &Backend) -> Vec<Experiment> {
        let level = self.without_backend(&backend.name);
        let (name, stream) = (&backend.name, &self.route.stream);
        let seen = After { parts: 3 };
        let slow = stream.first_token.saturating_add(Duration::from_secs(2)).min(DELAY_MAX);
        let limited = Failing { how: How::Status, status: Some(429), retry_after: Some(Duration::from_secs(2)) };
        let of = |name, title, hypothesis, fault| {
            self.experiment(Terms {
                name,
                title,
                hypothesis,
                target: Some(backend.name.clone()),
                fault,
                blast: Blast::Limited,
                minutes: 10,
                level,
                incidents: &["serving_latency"],
            })
        };
        let answers = self.answers(level);
        let mut malformed = of(
            "malformed-answer",
            format!("Answers of `{name}` end in their middle and cannot be read"),
            format!("An answer that cannot be read counts as a failure, and {answers}"),
            Fault::MalformedAnswer(Malformed { how: Shape::Broken }),
        );
        malformed.cohort.traffic = Traffic::Synthetic;
        vec![
            of(
                "rate-limited",
                format!("`{name}` says 429 and `Retry-After: 2`"),
                format!("No call comes before the time that it asks for, and meanwhile {answers}"),
                Fault::ModelError(limited),
            ),
            of(
                "slow-first-token",
                format!("The first token of `{name}` comes later than the route waits"),
                format!("The bound of the first token holds, and {answers}"),
                Fault::SlowFirstToken(Delay::Fixed(slow)),
            ),
            of(
                "stalled-stream",
                format!("Streams of `{name}` stop after three parts and stay open"),
                format!("The bound between tokens ends them: where the caller saw nothing yet {answers}"),
                Fault::StalledStream(seen),
            ),
            of(
                "truncated-stream",
                format!("Streams of `{name}` end after three parts"),
                format!("An end without a last part counts as broken: where the caller saw nothing yet {answers}"),
                Fault::TruncatedStream(seen),
            ),
            malformed,
        ]
    }

    fn overload(&self) -> Experiment {
        let level = self.route.ladder.last().map_or(4, |entry| entry.level.number());
        self.experiment(Terms {
            name: "overload",
            title: format!("Twice the traffic of `{}`", self.route.name),
            hypothesis: format!(
                "Limits hold the load off the backends, classes are served in their order, and {}",
                self.answers(level)
            ),
            target: None,
            fault: Fault::Overload(Overload { factor: 2.0 }),
            blast: Blast::Moderate,
            minutes: 15,
            level,
            incidents: &["serving_latency"],
        })
    }

    fn experiment(&self, terms: Terms) -> Experiment {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
        let route: String = self.route.name.chars().map(plain).take(ROUTE_MAX).collect();
        Experiment {
            name: format!("{route}-{}", terms.name),
            title: terms.title,
            hypothesis: terms.hypothesis,
            route: self.route.name.clone(),
            target: terms.target,
            fault: terms.fault,
            blast: terms.blast,
            dose: 1.0,
            cohort: Cohort { share: terms.blast.share_max(), ..Cohort::default() },
            caps: Caps::default(),
            duration: Duration::from_mins(terms.minutes),
            lead_in: LEAD_IN,
            recovery: RECOVERY,
            margin: Margin::default(),
            expect: Expected {
                level: Some(terms.level),
                incidents: terms.incidents.iter().map(|kind| (*kind).to_owned()).collect(),
            },
            stop: Stop::default(),
            force: false,
        }
    }

    /// Half of the deadline: some calls are well within it and some beyond.
    fn late(&self) -> Duration {
        (self.route.deadline / 2).clamp(Duration::from_millis(1), DELAY_MAX)
    }

    fn answers(&self, level: u8) -> String {
        let entry = self.route.ladder.iter().find(|entry| entry.level.number() == level);
        match entry {
            Some(_) if level == 0 => "level 0 goes on to answer".to_owned(),
            Some(entry) => format!("requests are answered from level {level} (`{}`) at the deepest", entry.name),
            None => format!("requests are answered from level {level} at the deepest"),
        }
    }

    /// The deepest level that answers while a backend fails.
    fn without_backend(&self, name: &str) -> u8 {
        self.first(|entry| match entry.answer.asked() {
            Some(asked) => self.plan.backends.get(asked.backend.0).is_some_and(|it| it.name != name),
            None => entry.answer.always_answers(),
        })
    }

    /// The deepest level that answers while a feature store fails: with cached values and defaults, or without values of it.
    fn without_store(&self, set: &FeatureSet) -> u8 {
        self.first(|entry| match entry.answer.asked() {
            Some(Asked { features: Some((id, mode)), .. }) if self.is(id, set) => {
                mode == FeatureMode::Cached && has_defaults(set)
            }
            Some(_) => true,
            None => entry.answer.always_answers(),
        })
    }

    /// The deepest level that answers while a feature store does not know values.
    fn without_values(&self, set: &FeatureSet) -> u8 {
        self.first(|entry| match entry.answer.asked() {
            Some(Asked { features: Some((id, _)), .. }) if self.is(id, set) => has_defaults(set),
            Some(_) => true,
            None => entry.answer.always_answers(),
        })
    }

    fn is(&self, id: FeatureSetId, set: &FeatureSet) -> bool {
        self.plan.features.get(id.0).is_some_and(|it| it.name == set.name)
    }

    fn first(&self, is_sure: impl Fn(&Entry) -> bool) -> u8 {
        self.route.ladder.iter().find(|entry| is_sure(entry)).map_or(4, |entry| entry.level.number())
    }
}

fn has_defaults(set: &FeatureSet) -> bool {
    set.refs.iter().all(|wanted| set.defaults.contains_key(wanted))
}
