//! Objectives that came as documents, beside those of the config.

use mainstay_config::openslo::{self, Into};
use mainstay_control::{Finding, Imported};
use mainstay_core::plan::Plan;

use crate::source::Document;

/// Adds what documents become to the objectives of a plan; documents that are refused change nothing.
pub(crate) fn merge(plan: &mut Plan, documents: &str) -> Result<Imported, Vec<Finding>> {
    let routes: Vec<&str> = plan.routes.iter().map(|route| route.name.as_str()).collect();
    let views: Vec<&str> = plan.features.iter().map(|set| set.name.as_str()).collect();
    let into = Into { service: &plan.service, routes: Some(&routes), views: Some(&views), prometheus: None };
    let made = openslo::import(documents, &into);
    let document = Document { name: "documents".to_owned(), text: documents.to_owned() };
    let findings = made.findings.iter().map(|finding| document.wire(finding));
    if made.findings.iter().any(mainstay_config::Finding::is_error) {
        return Err(findings.collect());
    }
    let mut faults = Vec::new();
    for slo in &made.objectives {
        if plan.slos.iter().any(|there| there.name == slo.name) {
            faults.push(plain(format!("an objective named `{}` is in the config", slo.name)));
        }
        let policy = slo.policy.iter().find(|name| plan.policies.iter().all(|policy| policy.name != **name));
        faults.extend(policy.map(|name| plain(format!("there is no budget policy `{name}`"))));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let findings = findings.collect();
    let objectives = made.objectives.iter().map(|slo| slo.name.clone()).collect();
    plan.slos.extend(made.objectives);
    Ok(Imported { objectives, items: made.items, findings })
}

fn plain(message: String) -> Finding {
    Finding { code: "import".to_owned(), message, line: None, help: None }
}

/// The same where nobody is there to be told: a service goes on without documents that its config no longer fits.
pub(crate) fn merge_or_tell(plan: &mut Plan, documents: &str) -> Vec<String> {
    match merge(plan, documents) {
        Ok(imported) => imported.objectives,
        Err(findings) => {
            for finding in findings {
                tracing::error!(finding.message, finding.line, "imported objectives are left out");
            }
            Vec::new()
        }
    }
}
