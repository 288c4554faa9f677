//! Alerts of other systems, as Alertmanager sends them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use mainstay_core::plan::Role;
use mainstay_core::response::desk::Desk;
use mainstay_core::response::fact::{ALERT, Change, Fact};

use super::read::{expect_media, read_body};
use super::{Endpoint, finished, json};
use crate::alerts::{self, Alert, Webhook};
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

/// Labels that say what an alert is about, and most labels of a fact.
const UNDERSTOOD: [&str; 7] = ["alertname", "severity", "route", "backend", "features", "model", "incident_type"];
const LABELS_MAX: usize = 30;
/// Longest label of a fact, in characters.
const LABEL_MAX: usize = 200;
/// Longest line that is made of an alert, in characters.
const LINE_MAX: usize = 300;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/api/v1/alerts",
            "alerts",
            "Take in what Alertmanager's webhook (version 4) tells",
            json::<wire::AlertsTaken>(),
            take,
        )
        .takes::<wire::AlertsWebhook>()
        .problems(&[400, 408, 413, 415, 422, 503])
        .for_role(Role::Responder),
    ]
}

async fn take(State(site): State<Site>, request: Request) -> Result<Json<wire::AlertsTaken>, Problem> {
    let incidents = site.incidents()?.clone();
    expect_media(request.headers(), &["application/json"])?;
    let body = read_body(request.into_body(), alerts::BODY_MAX).await?;
    let webhook = alerts::read(&body).map_err(|error| {
        let kind = if matches!(error, alerts::AlertsError::Json(_)) { Kind::BadRequest } else { Kind::Invalid };
        Problem::new(kind, error.to_string())
    })?;
    let changes: Vec<_> = webhook.alerts.iter().map(|alert| change(&webhook, alert)).collect();
    let answer = wire::AlertsTaken { alerts: changes.len(), left_out: webhook.truncated };
    finished(async move {
        let decide = |desk: &mut Desk, now| {
            for (change, at) in &changes {
                desk.handle_fact(change.clone(), *at, now);
            }
            Ok(())
        };
        incidents.decide(decide).await?;
        Ok(Json(answer))
    })
    .await
}

/// Labels within bounds: an incident holds hundreds of facts. Those that mainstay understands come first.
fn clipped(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let known = UNDERSTOOD.iter().filter_map(|name| labels.get_key_value(*name));
    let others = labels.iter().filter(|(name, _)| !UNDERSTOOD.contains(&name.as_str()));
    let clip = |text: &String| text.chars().take(LABEL_MAX).collect::<String>();
    known.chain(others).take(LABELS_MAX).map(|(name, value)| (clip(name), clip(value))).collect()
}

/// What an alert says about facts, and since when.
fn change(webhook: &Webhook, alert: &Alert) -> (Change, mainstay_core::time::Time) {
    let key = format!("{ALERT}/{}", alert.fingerprint);
    if !alert.firing {
        return (Change::Ended(key), alert.ends_at.unwrap_or(alert.starts_at));
    }
    let name = alert.labels.get("alertname").map_or("an alert", String::as_str);
    let said = alert.annotations.get("summary").or_else(|| alert.annotations.get("description"));
    let text = said.map_or_else(|| name.to_owned(), |said| format!("{name}: {said}"));
    let text: String = text.chars().take(LINE_MAX).collect();
    // Whoever grouped alerts by something said that they belong together; otherwise those of a name do.
    let grouped = Some(&webhook.group_key).filter(|key| !key.is_empty() && !key.ends_with(":{}"));
    let group = grouped.map_or_else(|| name.to_owned(), Clone::clone);
    let fact =
        Fact { key, kind: ALERT.into(), labels: clipped(&alert.labels), text, group: Some(format!("{ALERT}:{group}")) };
    (Change::Began(fact), alert.starts_at)
}
