//! The shell of experiments: what is decided rests before a fault comes into force, and a fault goes whatever else fails.
//!
//! ```text
//! API, twice a second --> runner --withdraw, halt, renew: at once------------------> injector
//!                           `----one transaction--> Store: runs, halt, events, audit
//!                                      `--- then ---> inject
//! ```
//!
//! Nothing here has to live for a fault to end: the injector ends it by itself when it is not renewed.

mod at_rest;
mod injecting;
mod metrics;
mod settling;
mod situation;
mod terms;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::gates::{Checked, Situation};
use mainstay_core::chaos::record::{Approval, Halt, Run};
use mainstay_core::chaos::refusal::Refusal;
use mainstay_core::chaos::run::{Runner, Start, asked};
use mainstay_core::event::Event;
use mainstay_core::experiments::catalogue;
use mainstay_core::metric::Family;
use mainstay_core::plan::Plan;
use mainstay_core::status::Status;
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::{Store, StoreError};
use tokio::sync::{MutexGuard, Notify};

use crate::engine::{Clock, Engine};
use crate::incidents::Incidents;
use crate::wire::{ChaosHalt, ExperimentLine};

pub use injecting::Injecting;
use metrics::Counted;
use settling::Rests;
use situation::Looks;
pub use terms::plan_hash;

/// How often is looked at what runs, at least.
const TICK: Duration = Duration::from_millis(500);
/// How often a lease is renewed within its length.
const RENEWALS: u32 = 3;
/// How often a number that somebody else took is tried again.
const TRIES: usize = 20;
/// Who ends what runs when the service stops.
const SERVICE: &str = "mainstay";

/// Experiments, as the admin API sees them. Clones are the same.
#[derive(Clone)]
pub struct Experiments(Arc<Inner>);

struct Inner {
    engine: Engine,
    incidents: Incidents,
    clock: Clock,
    injecting: Arc<dyn Injecting>,
    status: Box<dyn Fn() -> Option<Status> + Send + Sync>,
    on_event: Box<dyn Fn(Event) + Send + Sync>,
    runner: tokio::sync::Mutex<Runner>,
    plan: Mutex<Arc<Plan>>,
    /// Grows with each config.
    revision: AtomicU64,
    /// The revision whose terms the runner goes by.
    followed: AtomicU64,
    /// What did not come to rest yet.
    owed: Mutex<Rests>,
    looks: Mutex<Looks>,
    counted: Mutex<Counted>,
    /// Rings when something may be due.
    bell: Notify,
}

/// What experiments need besides the engine.
pub struct Setup {
    /// The plan in force.
    pub plan: Arc<Plan>,
    /// Who injects.
    pub injecting: Arc<dyn Injecting>,
    /// The service at this moment, where it can be seen.
    pub status: Box<dyn Fn() -> Option<Status> + Send + Sync>,
    /// Hears what is told; it is in the log of events by then.
    pub on_event: Box<dyn Fn(Event) + Send + Sync>,
    /// Decides who is in which arm.
    pub seed: u64,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// It may not be done, and all that is in the way.
    #[error("{}", listed(.0))]
    Refused(Vec<Refusal>),
    /// There is no such run or experiment.
    #[error("there is no {0}")]
    Unknown(String),
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is done, and the store failed: it is tried again.
    #[error("it is done, and could not be stored yet: {0}")]
    Owed(StoreError),
}

fn listed(refusals: &[Refusal]) -> String {
    refusals.iter().map(|it| it.text.as_str()).collect::<Vec<_>>().join("; ")
}

/// Experiments that wait to be run.
pub struct RunningExperiments(Experiments);

impl Experiments {
    /// Restores what rests. The injector hears of a halt before anything else; what an earlier process left is ended.
    pub async fn open(
        engine: &Engine,
        incidents: Incidents,
        setup: Setup,
    ) -> Result<(Experiments, RunningExperiments), StoreError> {
        let clock = engine.clock();
        let rests = at_rest::load(&**engine.store(), clock()).await?;
        if rests.halt.as_ref().is_some_and(|halt| halt.halted) {
            setup.injecting.halt(true);
        }
        let mut runner = Runner::new(terms::of(&setup.plan), setup.seed);
        runner.restore(rests.runs, rests.halt, rests.approvals, clock());
        let inner = Inner {
            engine: engine.clone(),
            incidents,
            clock,
            injecting: setup.injecting,
            status: setup.status,
            on_event: setup.on_event,
            runner: tokio::sync::Mutex::new(runner),
            plan: Mutex::new(setup.plan),
            revision: AtomicU64::new(1),
            followed: AtomicU64::new(1),
            owed: Mutex::default(),
            looks: Mutex::default(),
            counted: Mutex::default(),
            bell: Notify::new(),
        };
        let experiments = Experiments(Arc::new(inner));
        {
            let mut runner = experiments.lock().await;
            experiments.settle(&mut runner, Vec::new(), false).await?;
        }
        Ok((experiments.clone(), RunningExperiments(experiments)))
    }

    /// Goes by another plan from now on.
    pub fn set_plan(&self, plan: Arc<Plan>) {
        *self.0.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
        self.0.revision.fetch_add(1, Ordering::SeqCst);
        self.0.bell.notify_one();
    }

    /// The plan in force.
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.0.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Experiments that are known by name: the config's own, and those that the plan has by itself.
    pub fn known(&self) -> Vec<Experiment> {
        catalogue::all(&self.plan()).into_iter().map(|experiment| self.pinned(experiment)).collect()
    }

    /// The same with the target that it has under this plan, so that whoever approves it approves that one.
    pub fn pinned(&self, experiment: Experiment) -> Experiment {
        let target = self.plan().target_of(&experiment).map(str::to_owned);
        Experiment { target, ..experiment }
    }

    /// A known experiment by its name.
    pub fn find(&self, name: &str) -> Option<Experiment> {
        self.known().into_iter().find(|it| it.name == name)
    }

    /// Whether somebody has to agree to an experiment.
    pub fn needs_approval(&self, experiment: &Experiment) -> bool {
        terms::needs_approval(&terms::of(&self.plan()), experiment)
    }

    /// Metrics, for the page of them.
    pub fn metrics(&self) -> Vec<Family> {
        self.counted().families()
    }

    /// What runs, and whether faults are halted, as of the last moment: it waits for nothing.
    pub(crate) fn at_a_glance(&self) -> (Vec<ExperimentLine>, ChaosHalt) {
        let counted = self.counted();
        (counted.active(), counted.halt())
    }

    /// Runs that are not over.
    pub async fn running(&self) -> Vec<Run> {
        self.lock().await.runs().cloned().collect()
    }

    /// A run, under way or over.
    pub async fn run(&self, id: &str) -> Result<Option<Run>, StoreError> {
        if let Some(run) = self.lock().await.run(id) {
            return Ok(Some(run.clone()));
        }
        at_rest::run(self.store(), id).await
    }

    /// The id of a run that is named by it, or by the experiment of which it is the one that is under way.
    pub async fn under_way(&self, name: &str) -> Result<String, ChaosError> {
        if name.starts_with("EXP-") {
            return Ok(name.to_owned());
        }
        let found = self.lock().await.runs().find(|run| run.experiment.name == name).map(|run| run.id.clone());
        found.ok_or_else(|| ChaosError::Unknown(format!("run of `{name}` under way")))
    }

    /// What is made of each run, the newest first.
    pub async fn each<T>(&self, mut read: impl FnMut(&Run) -> Option<T>) -> Result<Vec<T>, StoreError> {
        let running = self.running().await;
        let mut all = Vec::new();
        at_rest::each_run(self.store(), |rests| {
            let run = running.iter().find(|it| it.id == rests.id).unwrap_or(&rests);
            all.extend(read(run).map(|made| (run.id.clone(), made)));
        })
        .await?;
        all.sort_by(|(a, _), (b, _)| at_rest::number(b).cmp(&at_rest::number(a)));
        Ok(all.into_iter().map(|(_, made)| made).collect())
    }

    /// Whether nothing may be injected, and who said so.
    pub async fn halt(&self) -> Option<Halt> {
        self.lock().await.halt().cloned()
    }

    /// Approvals that still count.
    pub async fn approvals(&self) -> Vec<Approval> {
        let now = self.now();
        self.lock().await.approvals().iter().filter(|it| it.until > now).cloned().collect()
    }

    /// Whether an experiment could be started now, and all that is in the way.
    pub async fn check(&self, start: &Start) -> Checked {
        let situation = self.situation().await;
        let astray = self.astray(&start.experiment);
        let mut checked = self.lock().await.check(start, &situation, self.now());
        checked.refusals.extend(astray);
        checked
    }

    /// Starts an experiment, once that rests; its run.
    pub async fn start(&self, start: Start, actor: &str) -> Result<Run, ChaosError> {
        let situation = self.situation().await;
        let astray = self.astray(&start.experiment);
        let mut runner = self.lock().await;
        if !astray.is_empty() {
            let mut refusals = runner.clone().handle_start(start, &situation, self.now()).err().unwrap_or_default();
            refusals.extend(astray);
            return Err(ChaosError::Refused(refusals));
        }
        let id = self.begin(&mut runner, &start, &situation, actor).await?;
        let run = runner.run(&id).cloned();
        drop(runner);
        self.0.bell.notify_one();
        match run {
            Some(run) => Ok(run),
            // It has ended at once: the injector refused it.
            None => at_rest::run(self.store(), &id).await?.ok_or_else(|| ChaosError::Unknown(format!("run `{id}`"))),
        }
    }

    /// Starts what the plan bears out, once that rests: its run's id.
    async fn begin(
        &self,
        runner: &mut Runner,
        start: &Start,
        situation: &Situation,
        actor: &str,
    ) -> Result<String, ChaosError> {
        let plan = serde_json::json!({ "experiment": start.experiment.name, "plan": start.plan }).to_string();
        let mut tries = 0;
        loop {
            let mut next = runner.clone();
            let id = next.handle_start(start.clone(), situation, self.now()).map_err(ChaosError::Refused)?;
            let audit = at_rest::audited(actor, "experiment.start", &id, Some(plan.clone()), "");
            match self.store_start(runner, next, &id, vec![audit]).await {
                Ok(()) => return Ok(id),
                // Another process has this number: the next one after the last, then.
                Err(StoreError::Conflict { .. }) if tries < TRIES => {
                    tries += 1;
                    if let Some(last) = at_rest::last_id(self.store()).await? {
                        runner.saw(&last, 0);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Goes by a runner that has started a run, once that rests.
    async fn store_start(
        &self,
        runner: &mut Runner,
        mut next: Runner,
        id: &str,
        audits: Vec<Change>,
    ) -> Result<(), StoreError> {
        if let Err(error) = self.settle(&mut next, audits, true).await {
            // It may rest all the same: no other run gets its id.
            runner.saw(id, 0);
            return Err(error);
        }
        *runner = next;
        Ok(())
    }

    /// Somebody's yes to a plan, once it rests.
    pub async fn approve(
        &self,
        (experiment, plan): (&str, &str),
        (by, actor): (&str, &str),
        until: Option<Time>,
    ) -> Result<Approval, ChaosError> {
        let mut runner = self.lock().await;
        let mut next = runner.clone();
        let approval = next.handle_approve((experiment, plan), by, until, self.now()).map_err(refused)?;
        let after = serde_json::to_string(&approval).ok();
        let audit = at_rest::audited(actor, "experiment.approve", experiment, after, "");
        self.settle(&mut next, vec![audit], true).await?;
        *runner = next;
        Ok(approval)
    }

    /// Stops a run. Its fault is taken away before this rests, and also where it cannot.
    pub async fn stop(&self, run: &str, actor: &str, reason: &str) -> Result<(), ChaosError> {
        asked::stops(reason).map_err(refused)?;
        // The injector first: whoever has the runner may be waiting for the store.
        let stands = self.counted().generation(run);
        if let Some(generation) = stands {
            self.0.injecting.withdraw(run, generation);
        }
        let mut runner = self.lock().await;
        if runner.run(run).is_none() {
            drop(runner);
            return Err(self.over(run).await?);
        }
        runner.handle_stop(run, actor, reason, self.now()).map_err(refused)?;
        let audit = at_rest::audited(actor, "experiment.stop", run, None, reason);
        self.settle(&mut runner, vec![audit], false).await.map_err(ChaosError::Owed)?;
        self.0.bell.notify_one();
        Ok(())
    }

    /// Whoever holds a run is still there.
    pub async fn hold(&self, run: &str) -> Result<(), ChaosError> {
        let mut runner = self.lock().await;
        if runner.run(run).is_none() {
            drop(runner);
            return Err(self.over(run).await?);
        }
        runner.handle_hold(run, self.now()).map_err(refused)?;
        self.settle(&mut runner, Vec::new(), false).await.map_err(ChaosError::Owed)
    }

    /// Nothing may be injected from now on. What is in force ends before this rests, and also where it cannot.
    pub async fn put_halt(&self, actor: &str, reason: &str) -> Result<(), ChaosError> {
        asked::halts(reason).map_err(refused)?;
        // The injector first: whoever has the runner may be waiting for the store.
        self.0.injecting.halt(true);
        let mut runner = self.lock().await;
        runner.handle_halt(true, actor, reason, self.now()).map_err(refused)?;
        let audit = at_rest::audited(actor, "chaos.halt", "chaos", None, reason);
        self.settle(&mut runner, vec![audit], false).await.map_err(ChaosError::Owed)
    }

    /// Faults may be injected again, once that rests.
    pub async fn end_halt(&self, actor: &str, reason: &str) -> Result<(), ChaosError> {
        let mut runner = self.lock().await;
        let mut next = runner.clone();
        next.handle_halt(false, actor, reason, self.now()).map_err(refused)?;
        let audit = at_rest::audited(actor, "chaos.resume", "chaos", None, reason);
        self.settle(&mut next, vec![audit], true).await?;
        *runner = next;
        Ok(())
    }

    /// Why a run that does not go on cannot be told anything.
    async fn over(&self, run: &str) -> Result<ChaosError, StoreError> {
        Ok(match at_rest::run(self.store(), run).await? {
            Some(_) => ChaosError::Refused(vec![Refusal { code: "over", text: format!("`{run}` is over") }]),
            None => ChaosError::Unknown(format!("run `{run}`")),
        })
    }

    /// The time, by the service's clock.
    pub(crate) fn now(&self) -> Time {
        (self.0.clock)()
    }

    fn store(&self) -> &dyn Store {
        &**self.0.engine.store()
    }

    /// The runner, by the terms in force.
    async fn lock(&self) -> MutexGuard<'_, Runner> {
        let mut runner = self.0.runner.lock().await;
        let revision = self.0.revision.load(Ordering::SeqCst);
        if self.0.followed.swap(revision, Ordering::SeqCst) != revision {
            runner.set_terms(terms::of(&self.plan()), self.now());
        }
        runner
    }

    async fn situation(&self) -> Situation {
        let revision = self.0.revision.load(Ordering::SeqCst);
        let status = ((self.0.status)(), &self.0.looks);
        situation::gather(&self.0.engine, &self.0.incidents, status, revision).await
    }

    /// What an experiment says and the plan, or whoever injects, does not bear out.
    fn astray(&self, experiment: &Experiment) -> Vec<Refusal> {
        let of_plan = self.plan().check_experiment(experiment);
        let mut refusals: Vec<_> = of_plan.into_iter().map(|text| Refusal { code: "astray", text }).collect();
        if refusals.is_empty()
            && let Err(text) = self.0.injecting.check(experiment)
        {
            refusals.push(Refusal { code: "injector", text });
        }
        refusals
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what runs, and does what is due; how long nothing will be.
    async fn tick(&self) -> Duration {
        let beats = self.0.injecting.beats();
        let runs = self.lock().await.runs().next().is_some();
        if !runs {
            situation::look((&*self.0.status, &self.0.looks), self.now());
        }
        let situation = if runs { Some(self.situation().await) } else { None };
        let mut runner = self.lock().await;
        let now = self.now();
        runner.handle_beats(&beats, now);
        if let Some(situation) = situation {
            runner.handle_situation(&situation, now);
        }
        runner.handle_timeout(now);
        if let Err(error) = self.settle(&mut runner, Vec::new(), false).await {
            tracing::error!(%error, "what experiments do waits for the store");
        }
        TICK.min(runner.terms().safety.lease / RENEWALS)
    }
}

fn refused(refusal: Refusal) -> ChaosError {
    ChaosError::Refused(vec![refusal])
}

impl RunningExperiments {
    /// Runs until `stop` completes; what is in force then is taken away.
    pub async fn until(self, stop: impl Future<Output = ()>) {
        let RunningExperiments(experiments) = self;
        let mut stop = pin!(stop);
        loop {
            let wait = experiments.tick().await;
            tokio::select! {
                () = &mut stop => break,
                () = experiments.0.bell.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        let mut runner = experiments.lock().await;
        let now = experiments.now();
        for run in runner.runs().map(|it| it.id.clone()).collect::<Vec<_>>() {
            if let Err(refusal) = runner.handle_stop(&run, SERVICE, "the service stops", now) {
                tracing::debug!(%refusal, run, "it ends already");
            }
        }
        if let Err(error) = experiments.settle(&mut runner, Vec::new(), false).await {
            tracing::error!(%error, "that experiments were stopped could not be stored");
        }
    }
}
