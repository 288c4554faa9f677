//! Alerts of other systems, as Alertmanager sends them.

use axum::Json;
use axum::extract::{Request, State};
use mainstay_core::plan::Role;
use mainstay_core::response::fact::{ALERT, Change, Fact};

use super::read::{expect_media, read_body};
use super::{Endpoint, json};
use crate::alerts::{self, Alert, Webhook};
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

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
    let incidents = site.incidents()?;
    expect_media(request.headers(), &["application/json"])?;
    let body = read_body(request.into_body(), alerts::BODY_MAX).await?;
    let webhook = alerts::read(&body).map_err(|error| {
        let kind = if matches!(error, alerts::AlertsError::Json(_)) { Kind::BadRequest } else { Kind::Invalid };
        Problem::new(kind, error.to_string())
    })?;
    let changes: Vec<_> = webhook.alerts.iter().map(|alert| change(&webhook, alert)).collect();
    incidents
        .decide(|desk, now| {
            for (change, at) in &changes {
                desk.handle_fact(change.clone(), *at, now);
            }
            Ok(())
        })
        .await?;
    Ok(Json(wire::AlertsTaken { alerts: changes.len(), left_out: webhook.truncated }))
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
        Fact { key, kind: ALERT.into(), labels: alert.labels.clone(), text, group: Some(format!("{ALERT}:{group}")) };
    (Change::Began(fact), alert.starts_at)
}
