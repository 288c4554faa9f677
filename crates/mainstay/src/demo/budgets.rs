//! Budgets as the admin API tells them: what the demo posts to it, and what it reads at the end of each phase.

use std::time::Duration;

use anyhow::anyhow;
use hyper::Method;
use mainstay_core::event::format_time;
use mainstay_core::slo::window::written;
use mainstay_core::time::Time;
use serde_json::{Value, json};

use super::config::{self, ROUTE};
use super::criteria::Criterion;
use super::script::{Fault, PHASES, Phase};
use super::training::Trained;
use crate::cli::Global;
use crate::client;
use crate::exit::{Exit, Stop};

/// The admin API, and what it has said so far.
pub(super) struct Budgets {
    global: Global,
    /// The primary model as its training left it.
    trained: Trained,
    /// What the simpler model hashes to.
    small_digest: String,
    /// The question whose answer is said to have done harm.
    harmful: String,
    /// Why a promotion was refused.
    refusal: Option<String>,
    samples: Vec<Sample>,
}

/// One objective at a phase's end.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Sample {
    /// Index of the phase.
    pub(super) phase: usize,
    pub(super) category: String,
    pub(super) objective: String,
    pub(super) status: String,
    /// The share of the budget that is left; below 0 where more was spent than there was.
    pub(super) remaining: f64,
    pub(super) bad: u64,
    pub(super) total: u64,
    /// The look-back in seconds of the shortest burn rate, and the rate; `None` where nothing is judged by burn.
    pub(super) burn: Option<(u64, f64)>,
    /// What spent a budget that tolerates nothing.
    pub(super) first_bad: Option<String>,
}

impl Budgets {
    /// Will speak to the admin API that `global` names.
    pub(super) fn new(global: Global, trained: Trained, small_digest: String, harmful: String) -> Budgets {
        Budgets { global, trained, small_digest, harmful, refusal: None, samples: Vec::new() }
    }

    /// Registers the models as they were trained at the start, and promotes the primary one: the gateway asks for its champion.
    pub(super) async fn register_first(&self, version: &str, now: Time) -> Result<(), Stop> {
        self.tell(version, now).await?;
        // The game day has spent some of the budgets, which would forbid it.
        self.promote(&json!({ "version": version, "force": true, "reason": "its gate passed" })).await
    }

    async fn register(&self, version: &str, now: Time) -> Result<(), Stop> {
        self.tell(version, now).await?;
        self.promote(&json!({ "version": version, "reason": "its gate passed" })).await
    }

    async fn tell(&self, version: &str, now: Time) -> Result<(), Stop> {
        let small = json!({ "digest": self.small_digest, "created": format_time(now) });
        for (model, body) in [("tumour", self.trained.version(now)), ("tumour-small", small)] {
            let path = format!("/api/v1/models/{model}/versions/{version}");
            client::ask(&self.global, Method::PUT, &path, Some(&body)).await?;
        }
        Ok(())
    }

    /// Registers the same models, made anew, while the budget of availability is spent: that forbids promotions, and a person
    /// decides otherwise.
    async fn register_anew(&mut self, version: &str, now: Time) -> Result<(), Stop> {
        match self.register(version, now).await {
            Err(Stop::Failed(Exit::No, refusal)) => self.refusal = Some(refusal.to_string()),
            other => return other,
        }
        self.promote(
            &json!({ "version": version, "force": true, "reason": "the outage is over, the old ones are old" }),
        )
        .await
    }

    async fn promote(&self, body: &Value) -> Result<(), Stop> {
        client::ask(&self.global, Method::POST, "/api/v1/models/tumour/promote", Some(body)).await.map(drop)
    }

    /// Whether training survived, and whether what came of it is what the gateway asks for.
    pub(super) async fn judge_model(&self) -> Result<[Criterion; 3], Stop> {
        let status = client::ask(&self.global, Method::GET, "/api/v1/status", None).await?;
        let backends = status["backends"].as_array().into_iter().flatten();
        let asked =
            backends.filter(|backend| backend["name"] == "primary").find_map(|backend| backend["version"].as_str());
        let model = client::ask(&self.global, Method::GET, "/api/v1/models/tumour", None).await?;
        let champion = model["champion"].as_str();
        let served = Criterion {
            name: "the version that passed its gate is the champion, and the one that the gateway asks for",
            held: champion.is_some() && asked == champion,
            measured: format!("champion {}, asked for {}", champion.unwrap_or("none"), asked.unwrap_or("none")),
        };
        let refused = Criterion {
            name: "a promotion was refused while the budget was spent, until a person decided otherwise",
            held: self.refusal.is_some(),
            measured: self.refusal.clone().unwrap_or_else(|| "it was not refused".to_owned()),
        };
        Ok([self.trained.judge(), served, refused])
    }

    /// What people and pipelines report while a phase begins.
    pub(super) async fn report(&mut self, index: usize, phase: &Phase, now: Time) -> Result<(), Stop> {
        if phase.fault == Some(Fault::ModelsKilled) {
            self.flag("suspected").await?;
            self.flag("confirmed").await?;
        }
        let comes_back = index > 0 && phase.fault.is_none() && PHASES[index - 1].fault == Some(Fault::ModelsKilled);
        // The same models, made anew: version 2.
        if comes_back { self.register_anew("2", now).await } else { Ok(()) }
    }

    async fn flag(&self, verdict: &str) -> Result<(), Stop> {
        let flag = json!({
            "request_id": self.harmful, "client": "demo", "verdict": verdict, "kind": "wrong_diagnosis",
            "route": ROUTE, "by": "review",
        });
        client::ask(&self.global, Method::POST, "/api/v1/flags", Some(&flag)).await.map(drop)
    }

    /// Reads all objectives.
    pub(super) async fn sample(&mut self, phase: usize) -> Result<(), Stop> {
        let answer = client::ask(&self.global, Method::GET, "/api/v1/slos", None).await?;
        let read: Option<Vec<Sample>> =
            answer["slos"].as_array().and_then(|slos| slos.iter().map(|slo| Sample::read(phase, slo)).collect());
        self.samples.extend(read.ok_or_else(|| Stop::bug(anyhow!("GET /api/v1/slos answered with something else")))?);
        Ok(())
    }

    /// What was read, and the question that was flagged.
    pub(super) fn finish(self) -> (Vec<Sample>, String) {
        (self.samples, self.harmful)
    }
}

impl Sample {
    fn read(phase: usize, slo: &Value) -> Option<Sample> {
        let word = |key: &str| slo[key].as_str().map(str::to_owned);
        let burn = |burn: &Value| Some((burn["seconds"].as_u64()?, burn["rate"].as_f64()?));
        Some(Sample {
            phase,
            category: word("category")?,
            objective: word("name")?,
            status: word("status")?,
            remaining: slo["budget"]["remaining"].as_f64()?,
            bad: slo["bad"].as_u64()?,
            total: slo["total"].as_u64()?,
            burn: slo["burn"].as_array()?.iter().find_map(burn),
            first_bad: slo["first_bad"]["event"].as_str().map(str::to_owned),
        })
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "phase": PHASES[self.phase].name, "category": self.category, "objective": self.objective,
            "status": self.status, "remaining": self.remaining, "bad": self.bad, "total": self.total,
            "burn": self.burn.map(|(seconds, rate)| json!({ "seconds": seconds, "rate": rate })),
            "first_bad": self.first_bad,
        })
    }

    /// For people: what a table of budgets says of it.
    pub(super) fn row(&self, phase: &str) -> Vec<String> {
        vec![
            phase.to_owned(),
            self.category.clone(),
            self.status.clone(),
            format!("{:.0} %", 100.0 * self.remaining),
            format!("{} of {}", self.bad, self.total),
            self.burn.map_or_else(|| "-".to_owned(), |(_, rate)| format!("{rate:.1}")),
            self.first_bad.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

/// Whether budgets moved as they had to.
pub(super) fn judge(samples: &[Sample], harmful: &str, duration: Duration) -> Vec<Criterion> {
    vec![
        fell("availability", "availability budget fell while both models were gone", Fault::ModelsKilled, samples),
        fell("latency", "latency budget fell while the feature store was slow", Fault::StoreSlow, samples),
        Criterion {
            name: "freshness budget was spent when the models had grown old",
            ..spent("freshness", samples, |event| {
                event == format!("model older than {}", written(config::model_age(duration)))
            })
        },
        Criterion {
            name: "safety budget was spent by the flagged answer, and names it",
            ..spent("safety", samples, |event| event == harmful)
        },
    ]
}

fn of<'a>(category: &'a str, samples: &'a [Sample]) -> impl Iterator<Item = &'a Sample> {
    samples.iter().filter(move |sample| sample.category == category)
}

/// More was left before the fault than at its end, or than after it where the last answers came late.
fn fell(category: &str, name: &'static str, fault: Fault, samples: &[Sample]) -> Criterion {
    let phase = PHASES.iter().position(|phase| phase.fault == Some(fault)).unwrap_or_default();
    let left = |phase: usize| of(category, samples).find(|sample| sample.phase == phase).map(|sample| sample.remaining);
    let (before, after) = (phase.checked_sub(1).and_then(left), left(phase));
    Criterion {
        name,
        held: before.zip(after).is_some_and(|(before, after)| after < before),
        measured: format!("{} left before, {} after", percent(before), percent(after)),
    }
}

/// Intact at the first phase's end, gone at a later one, by what it had to be.
fn spent(category: &str, samples: &[Sample], is_cause: impl Fn(&str) -> bool) -> Criterion {
    let intact =
        of(category, samples).find(|sample| sample.phase == 0).is_some_and(|sample| sample.status == "healthy");
    let gone = of(category, samples).find(|sample| sample.status == "exhausted");
    let cause = gone.and_then(|sample| sample.first_bad.as_deref());
    Criterion {
        name: "",
        held: intact && cause.is_some_and(is_cause),
        measured: format!(
            "{} at first, spent by the end of {}: {}",
            if intact { "healthy" } else { "not healthy" },
            gone.map_or("no phase", |sample| PHASES[sample.phase].name),
            cause.unwrap_or("nothing named"),
        ),
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "nothing known".to_owned(), |share| format!("{:.0} %", 100.0 * share))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn sample(phase: usize, category: &str, remaining: f64, first_bad: Option<&str>) -> Sample {
        let status = if remaining > 0.0 { "healthy" } else { "exhausted" }.to_owned();
        let (category, objective) = (category.to_owned(), category.to_owned());
        let first_bad = first_bad.map(str::to_owned);
        Sample { phase, category, objective, status, remaining, bad: 0, total: 1, burn: None, first_bad }
    }

    fn held(samples: &[Sample]) -> Vec<bool> {
        judge(samples, "patient-1", LONG).iter().map(|criterion| criterion.held).collect()
    }

    #[test]
    fn budgets_that_moved_hold_and_others_do_not() {
        let old = format!("model older than {}", written(config::model_age(LONG)));
        let mut samples = vec![
            sample(0, "availability", 1.0, None),
            sample(3, "availability", 1.0, None),
            sample(4, "availability", -2.0, None),
            sample(0, "latency", 1.0, None),
            sample(1, "latency", 0.4, None),
            sample(0, "freshness", 1.0, None),
            sample(3, "freshness", 0.0, Some(&old)),
            sample(0, "safety", 1.0, None),
            sample(4, "safety", 0.0, Some("patient-1")),
        ];
        assert_eq!(held(&samples), [true; 4]);
        samples[8].first_bad = Some("patient-2".to_owned());
        samples[4].remaining = 1.0;
        assert_eq!(held(&samples), [true, false, true, false]);
        assert_eq!(held(&[]), [false; 4]);
    }

    #[test]
    fn what_the_api_says_is_read() {
        let slo = json!({
            "name": "a", "category": "safety", "status": "exhausted", "bad": 1, "total": 9,
            "budget": { "remaining": -1.5 }, "burn": [{ "seconds": 60, "rate": null }],
            "first_bad": { "event": "patient-1", "at": "…" },
        });
        let read = Sample::read(4, &slo).unwrap();
        assert_eq!((read.remaining, read.burn, read.first_bad.as_deref()), (-1.5, None, Some("patient-1")));
        assert_eq!(Sample::read(4, &json!({ "name": "a" })), None);
    }
}
