//! The demo's incidents: taken, resolved, reviewed, as somebody on call does it.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::criteria::Criterion;
use super::pager::Pager;
use super::place::Place;
use crate::cli::Global;
use crate::client;
use crate::exit::Stop;
use crate::output;
use crate::words::array;

/// What each fault of the script must be recognised as.
const EXPECTED: [&str; 3] = ["feature_pipeline", "serving_latency", "safety_violation"];
/// How long a page may take.
const PAGED_WITHIN: Duration = Duration::from_secs(10);
/// How long the last page is waited for.
const WAIT: Duration = Duration::from_secs(5);

/// An incident, and what came of it.
pub(super) struct Handled {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) severity: String,
    pub(super) status: String,
    pub(super) title: String,
    /// How long after its detection the page arrived.
    pub(super) paged: Option<Duration>,
    /// The page, as the receiver got it.
    page: Value,
    /// What to do about its type.
    runbook: Value,
    /// Its review, in Markdown.
    review: String,
    /// Where its review is served.
    review_url: String,
    /// Whether its review tells of it, in both forms.
    reviewed: bool,
}

impl Handled {
    pub(super) fn json(&self) -> Value {
        json!({
            "id": self.id, "type": self.kind, "severity": self.severity, "status": self.status, "title": self.title,
            "paged_after_seconds": self.paged.map(|after| after.as_secs_f64()), "page": self.page, "runbook": self.runbook,
            "review": { "markdown": self.review, "html": format!("{}?format=html", self.review_url) },
            "reviewed": self.reviewed,
        })
    }

    /// The whole of it, for people: the page, the runbook and the review.
    pub(super) fn human(&self) -> String {
        let mut lines = vec![format!("{} in full", self.id), String::new(), "the page that was sent".to_owned()];
        let words = self.page.as_object().into_iter().flatten();
        lines.extend(words.filter_map(|(name, value)| Some(format!("  {name}: {}", value.as_str()?))));
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        lines.extend([String::new(), format!("its runbook: {}", word(&self.runbook["about"]))]);
        let actions = array(&self.runbook["actions"]).iter();
        lines.extend(actions.map(|action| format!("  at once: {}", word(&action["text"]))));
        let steps = array(&self.runbook["steps"]).iter().enumerate();
        lines.extend(steps.map(|(n, step)| format!("  {}. {}", n + 1, word(step))));
        lines.extend([String::new(), format!("its review ({}?format=html)", self.review_url)]);
        lines.extend(self.review.lines().map(|line| format!("  {line}")));
        lines.join("\n")
    }
}

/// Takes and resolves what is open, and reads the review of each; that of the last outage is kept.
pub(super) async fn handle(global: &Global, pager: &Pager, place: &Place) -> Result<Vec<Handled>, Stop> {
    // The last page may be on its way.
    let waited = async {
        loop {
            let all = client::ask(global, Method::GET, "/api/v1/incidents", None).await?;
            let ids = all["incidents"].as_array().into_iter().flatten().filter_map(|it| it["id"].as_str());
            if ids.clone().count() > 0 && ids.clone().all(|id| pager.first(id).is_some()) {
                return Ok::<Value, Stop>(all);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let all = match tokio::time::timeout(WAIT, waited).await {
        Ok(all) => all?,
        Err(_) => client::ask(global, Method::GET, "/api/v1/incidents", None).await?,
    };
    let mut handled = Vec::new();
    for line in all["incidents"].as_array().into_iter().flatten() {
        handled.push(take(global, pager, place, line).await?);
    }
    handled.reverse();
    Ok(handled)
}

async fn take(global: &Global, pager: &Pager, place: &Place, line: &Value) -> Result<Handled, Stop> {
    let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let (id, kind) = (word("id"), word("type"));
    let path = format!("/api/v1/incidents/{id}");
    let mut status = word("status");
    if matches!(status.as_str(), "detected" | "investigating" | "mitigating") {
        client::ask(global, Method::POST, &format!("{path}/ack"), Some(&json!({}))).await?;
        let over = json!({ "status": "resolved", "reason": "the fault of the script is over" });
        let after = client::ask(global, Method::POST, &format!("{path}/status"), Some(&over)).await?;
        after["incident"]["status"].as_str().unwrap_or_default().clone_into(&mut status);
    }
    let runbook =
        client::ask(global, Method::GET, &format!("/api/v1/runbooks/{}", client::segment(&kind)), None).await?;
    let mut reviewed = true;
    let mut review = String::new();
    for (form, file) in [("md", "review.md"), ("html", "review.html")] {
        let text = client::ask_text(global, &format!("{path}/review?format={form}")).await?;
        reviewed &= text.contains(&id);
        if place.is_kept() && kind == "serving_latency" {
            let written = place.write(file, &text).map_err(Stop::unreachable)?;
            output::say(format_args!("review     {}", written.display()));
        }
        if form == "md" {
            review = text;
        }
    }
    let detected = line["detected"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let page = pager.first(&id);
    let at = page.as_ref().map(|page| page.at);
    let paged = detected.zip(at).map(|(detected, at)| at.duration_since(detected).unsigned_abs());
    Ok(Handled {
        id,
        kind,
        severity: word("severity"),
        status,
        title: word("title"),
        paged,
        page: page.map_or(Value::Null, |page| page.body),
        runbook,
        review,
        review_url: format!("{}{path}/review", global.url),
        reviewed,
    })
}

/// Whether each fault was recognised, told and reviewed.
pub(super) fn judge(handled: &[Handled]) -> Vec<Criterion> {
    let found = |kind: &&&str| handled.iter().any(|it| it.kind == ***kind);
    let recognised = EXPECTED.iter().filter(found).count();
    let late = handled.iter().filter(|it| it.paged.is_none_or(|after| after > PAGED_WITHIN)).count();
    let slowest = handled.iter().filter_map(|it| it.paged).max().unwrap_or_default();
    let unreviewed = handled.iter().filter(|it| !it.reviewed || it.status != "resolved").count();
    vec![
        Criterion {
            name: "incidents: each fault was recognised as what it was",
            held: recognised == EXPECTED.len(),
            measured: format!("{recognised} of {}: {}", EXPECTED.len(), EXPECTED.join(", ")),
        },
        Criterion {
            name: "incidents: whoever is on call was paged",
            held: late == 0 && !handled.is_empty(),
            measured: format!("{} incidents, the slowest page after {:.1} s", handled.len(), slowest.as_secs_f64()),
        },
        Criterion {
            name: "incidents: each was resolved and has a review",
            held: unreviewed == 0 && !handled.is_empty(),
            measured: format!("{} of {}", handled.len() - unreviewed, handled.len()),
        },
    ]
}
