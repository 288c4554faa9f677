//! Experiments: what may be run, what runs, what it showed; and the lever that halts all of it.

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::run::Start;
use mainstay_core::plan::Role;

use super::read::{read_json, readable};
use super::{Endpoint, Parameter, finished, json};
use crate::access::Caller;
use crate::chaos::{ChaosError, Experiments, plan_hash};
use crate::problem::{Kind, Problem, not_known};
use crate::site::Site;
use crate::wire;

/// Runs in one answer, unless the query says otherwise, and at most.
const LISTED: (usize, usize) = (50, 1_000);

pub(super) fn endpoints() -> Vec<Endpoint> {
    const ASKED: &[u16] = &[400, 404, 408, 409, 413, 415, 422, 503];
    let run = || json::<wire::ExperimentRun>();
    let role = Role::Responder;
    vec![
        Endpoint::get(
            "/api/v1/experiments",
            "experiments",
            "Runs of experiments, the last first",
            json::<wire::ExperimentRuns>(),
            list,
        )
        .parameters(&[
            Parameter { name: "status", about: "all (default) or running" },
            Parameter { name: "experiment", about: "of this name" },
            Parameter { name: "route", about: "on this route" },
            Parameter { name: "verdict", about: "that showed this" },
            Parameter { name: "limit", about: "how many: 50, at most 1000" },
        ])
        .problems(&[400, 503]),
        Endpoint::post(
            "/api/v1/experiments",
            "start_experiment",
            "Run an experiment, or see what is in the way",
            json::<wire::ExperimentStarted>(),
            start,
        )
        .takes::<wire::ExperimentRequest>()
        .problems(ASKED),
        Endpoint::get(
            "/api/v1/experiments/catalogue",
            "experiment_catalogue",
            "Experiments that are known by name, and who agreed to them",
            json::<wire::ExperimentCatalogue>(),
            catalogue,
        )
        .problems(&[503]),
        Endpoint::get(
            "/api/v1/experiments/{id}",
            "experiment",
            "A run, with all that was counted and shown",
            run(),
            one,
        )
        .problems(&[400, 404, 503]),
        Endpoint::post(
            "/api/v1/experiments/{id}/approve",
            "approve_experiment",
            "Agree to the plan of an experiment, by its hash",
            json::<wire::ExperimentApproval>(),
            approve,
        )
        .takes::<wire::ApprovalRequest>()
        .problems(ASKED),
        Endpoint::post(
            "/api/v1/experiments/{id}/stop",
            "stop_experiment",
            "Stop a run, by its id or its experiment's name: its fault is taken away",
            run(),
            stop,
        )
        .takes::<wire::ExperimentStopRequest>()
        .problems(ASKED)
        .for_role(role),
        Endpoint::post(
            "/api/v1/experiments/{id}/hold",
            "hold_experiment",
            "Say that whoever holds a run, by its id or its experiment's name, is still there",
            run(),
            hold,
        )
        .problems(&[400, 404, 409, 503])
        .for_role(role),
        Endpoint::get("/api/v1/chaos/halt", "chaos_halt", "Whether faults are halted", json::<wire::ChaosHalt>(), halt)
            .problems(&[503]),
        Endpoint::put(
            "/api/v1/chaos/halt",
            "halt_chaos",
            "Take every fault away, and let none be injected until somebody says otherwise",
            json::<wire::ChaosHalt>(),
            put_halt,
        )
        .takes::<wire::HaltRequest>()
        .problems(&[400, 408, 413, 415, 422, 503])
        .for_role(role),
        Endpoint::delete("/api/v1/chaos/halt", "resume_chaos", "Let faults be injected again", end_halt)
            .takes::<wire::HaltRequest>()
            .problems(&[400, 408, 413, 415, 422, 503]),
    ]
}

impl From<ChaosError> for Problem {
    fn from(error: ChaosError) -> Problem {
        match error {
            ChaosError::Refused(refusals) => {
                let is_over = refusals.iter().any(|it| matches!(it.code, "over" | "plan_changed" | "not_held"));
                let kind = if is_over { Kind::Conflict } else { Kind::ExperimentRefused };
                Problem::experiment_refused(kind, &refusals)
            }
            ChaosError::Unknown(what) => Problem::new(Kind::NotFound, format!("there is no {what}")),
            ChaosError::Store(error) => error.into(),
            owed @ ChaosError::Owed(_) => Problem::new(Kind::Unavailable, owed.to_string()),
        }
    }
}

async fn list(
    State(site): State<Site>,
    query: Result<Query<wire::ExperimentsQuery>, QueryRejection>,
) -> Result<Json<wire::ExperimentRuns>, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let wanted = query.checked().map_err(|why| Problem::new(Kind::BadRequest, why))?;
    let experiments = site.experiments()?;
    let mut runs = if query.is_running() {
        // What runs is at hand.
        experiments.running().await.iter().rev().filter(|run| wanted(run)).map(wire::ExperimentLine::of).collect()
    } else {
        experiments.each(|run| wanted(run).then(|| wire::ExperimentLine::of(run))).await?
    };
    runs.truncate(query.limit.unwrap_or(LISTED.0).min(LISTED.1));
    Ok(Json(wire::ExperimentRuns { runs }))
}

async fn start(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let experiments = site.experiments()?.clone();
    let asked: wire::ExperimentRequest = read_json(request).await?;
    let dry = asked.dry_run;
    let hold = asked.hold_s.map(Duration::from_secs);
    let gameday = asked.gameday.clone();
    let experiment = named_or_given(&experiments, asked)?;
    let plan = plan_hash(&experiment);
    let by = caller.person().to_owned();
    let start = Start { experiment, plan: plan.clone(), by, hold, gameday };
    if dry {
        let checked = experiments.check(&start).await;
        return Ok(Json(wire::ExperimentStarted::would(&plan, &checked)).into_response());
    }
    finished(async move {
        let run = experiments.start(start, &caller.name).await?;
        Ok((StatusCode::CREATED, Json(wire::ExperimentStarted::is(&run))).into_response())
    })
    .await
}

fn named_or_given(experiments: &Experiments, asked: wire::ExperimentRequest) -> Result<Experiment, Problem> {
    match (asked.name, asked.experiment) {
        (Some(name), None) => find(experiments, &name),
        (None, Some(experiment)) => Ok(experiments.pinned(*experiment)),
        _ => Err(Problem::new(Kind::Invalid, "give either the `name` of a known experiment or an `experiment`")),
    }
}

fn find(experiments: &Experiments, name: &str) -> Result<Experiment, Problem> {
    experiments.find(name).ok_or_else(|| unknown(experiments, name))
}

/// There is no such experiment; one of nearly this name is named.
pub(crate) fn unknown(experiments: &Experiments, name: &str) -> Problem {
    let known = experiments.known();
    let said = not_known("experiment", name, known.iter().map(|it| it.name.as_str()));
    Problem::new(Kind::NotFound, format!("{said}; all are listed at /api/v1/experiments/catalogue"))
}

async fn catalogue(State(site): State<Site>) -> Result<Json<wire::ExperimentCatalogue>, Problem> {
    let experiments = site.experiments()?;
    let approvals = experiments.approvals().await;
    let of = |experiment: Experiment| {
        let needs = experiments.needs_approval(&experiment);
        let plan = plan_hash(&experiment);
        let given = approvals.iter().filter(|it| it.experiment == experiment.name && it.plan == plan);
        let given = given.map(wire::ExperimentApproval::from).collect();
        wire::KnownExperiment { plan, needs_approval: needs, approvals: given, experiment: Box::new(experiment) }
    };
    Ok(Json(wire::ExperimentCatalogue { experiments: experiments.known().into_iter().map(of).collect() }))
}

async fn one(
    State(site): State<Site>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<wire::ExperimentRun>, Problem> {
    whole(site.experiments()?, &readable(id)?).await
}

async fn whole(experiments: &Experiments, id: &str) -> Result<Json<wire::ExperimentRun>, Problem> {
    let run = experiments.run(id).await?;
    let run = run.ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no run `{id}`")))?;
    Ok(Json(wire::ExperimentRun { run }))
}

/// The plan that is approved must be the one that there is: what somebody saw, and not what it became since.
async fn approve(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<wire::ExperimentApproval>, Problem> {
    let (experiments, id) = (site.experiments()?.clone(), readable(id)?);
    let asked: wire::ApprovalRequest = read_json(request).await?;
    let until = asked.until().map_err(|why| Problem::new(Kind::Invalid, why))?;
    let experiment = match asked.experiment {
        Some(experiment) if experiment.name == id => experiments.pinned(*experiment),
        Some(_) => return Err(Problem::new(Kind::Invalid, format!("`experiment` is not named `{id}`"))),
        None if id.starts_with("EXP-") => whole(&experiments, &id).await?.0.run.experiment,
        None => find(&experiments, &id)?,
    };
    let plan = plan_hash(&experiment);
    if plan != asked.plan {
        let detail = format!("the plan of `{}` is {plan}: look at it again", experiment.name);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    finished(async move {
        let by = (caller.person(), caller.name.as_str());
        let approval = experiments.approve((&experiment.name, &plan), by, until).await?;
        Ok(Json(wire::ExperimentApproval::from(&approval)))
    })
    .await
}

async fn stop(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<wire::ExperimentRun>, Problem> {
    let (experiments, id) = (site.experiments()?.clone(), readable(id)?);
    let wire::ExperimentStopRequest { reason } = read_json(request).await?;
    finished(async move {
        let id = experiments.under_way(&id).await?;
        experiments.stop(&id, &caller.name, &reason).await?;
        whole(&experiments, &id).await
    })
    .await
}

async fn hold(
    State(site): State<Site>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<wire::ExperimentRun>, Problem> {
    let (experiments, id) = (site.experiments()?.clone(), readable(id)?);
    // What is owed to the store goes with it: a caller that leaves must not take it away.
    finished(async move {
        let id = experiments.under_way(&id).await?;
        experiments.hold(&id).await?;
        whole(&experiments, &id).await
    })
    .await
}

async fn halt(State(site): State<Site>) -> Result<Json<wire::ChaosHalt>, Problem> {
    Ok(Json(site.experiments()?.at_a_glance().1))
}

async fn put_halt(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<wire::ChaosHalt>, Problem> {
    let experiments = site.experiments()?.clone();
    let wire::HaltRequest { reason } = read_json(request).await?;
    finished(async move {
        experiments.put_halt(&caller.name, &reason).await?;
        Ok(Json(wire::ChaosHalt::of(experiments.halt().await.as_ref())))
    })
    .await
}

async fn end_halt(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let experiments = site.experiments()?.clone();
    let wire::HaltRequest { reason } = read_json(request).await?;
    finished(async move {
        experiments.end_halt(&caller.name, &reason).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
