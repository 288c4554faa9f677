//! Where a config comes from, and how it becomes a plan that can run.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use mainstay_config::Finding;
use mainstay_core::plan::Plan;

use crate::exit::{Exit, Stop};
use crate::gamedays;
use crate::output;
use crate::secrets;

/// A config that can be read again.
#[derive(Clone, Debug)]
pub(crate) struct Source(PathBuf);

/// Why a config cannot run.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// The config is wrong.
    Findings(Vec<Finding>, Document),
    /// Secrets that it refers to are missing; only the references are named.
    Secrets(Vec<String>),
    /// The gateway cannot take it.
    Gateway(anyhow::Error),
}

/// A config's text and name, for findings that point into it.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    /// The config in this file.
    pub(crate) fn file(path: &Path) -> Source {
        Source(path.to_owned())
    }

    /// Reads, checks, and resolves secrets. Warnings come with the plan.
    pub(crate) fn load(&self) -> Result<(Plan, Vec<Finding>, Document), Refused> {
        let document = Document::read(&self.0).map_err(|error| Refused::Unreadable(self.0.clone(), error))?;
        let (plan, findings) = mainstay_config::load(&document.text);
        let Some(mut plan) = plan else { return Err(Refused::Findings(findings, document)) };
        gamedays::of(&plan)?;
        let missing = secrets::resolve(&mut plan);
        if missing.is_empty() { Ok((plan, findings, document)) } else { Err(Refused::Secrets(missing)) }
    }
}

/// The plan of a config's file, as [`Document::plan`] has it.
pub(crate) fn plan(file: &Path) -> Result<Plan, Stop> {
    let document = Document::read(file).with_context(|| format!("cannot read {}", file.display()));
    document.map_err(Stop::usage)?.plan()
}

impl Document {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> std::io::Result<Document> {
        let text = std::fs::read_to_string(path)?;
        Ok(Document { name: path.display().to_string(), text })
    }

    /// The plan of the config in it; what is wrong with it is told. Secrets stay references.
    pub(crate) fn plan(&self) -> Result<Plan, Stop> {
        let (plan, findings) = mainstay_config::load(&self.text);
        plan.ok_or_else(|| {
            output::say(format_args!("{}", self.render(&findings, output::stderr_has_colours())));
            Stop::Said(Exit::Usage)
        })
    }

    /// Findings as programs read them.
    pub(crate) fn json(&self, findings: &[Finding]) -> serde_json::Value {
        mainstay_config::to_json(findings, &self.name, &self.text)
    }

    /// The line on which a finding begins, from 1.
    fn line(&self, finding: &Finding) -> u32 {
        let before = self.text.bytes().take(finding.span.start);
        1 + before.filter(|byte| *byte == b'\n').count() as u32
    }

    /// A finding as the admin API tells it.
    pub(crate) fn wire(&self, finding: &Finding) -> mainstay_control::Finding {
        mainstay_control::Finding {
            code: finding.code.as_str().to_owned(),
            message: finding.message.clone(),
            line: Some(self.line(finding)),
            help: finding.help.clone(),
        }
    }

    /// Findings as people read them.
    pub(crate) fn render(&self, findings: &[Finding], colours: bool) -> String {
        mainstay_config::render(findings, &self.name, &self.text, colours)
    }
}

impl Refused {
    /// One paragraph per fault.
    pub(crate) fn paragraphs(&self, colours: bool) -> Vec<String> {
        match self {
            Refused::Unreadable(path, error) => vec![format!("error: cannot read {}: {error}", path.display())],
            Refused::Findings(findings, document) => vec![document.render(findings, colours)],
            Refused::Secrets(missing) => missing.iter().map(|text| format!("error: {text}")).collect(),
            Refused::Gateway(error) => vec![format!("error: {error:#}")],
        }
    }

    /// One short line per fault, for events and logs.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.wire().into_iter().map(|finding| format!("{}: {}", finding.code, finding.message)).collect()
    }

    /// As the admin API tells it.
    pub(crate) fn wire(&self) -> Vec<mainstay_control::Finding> {
        let plain = |code: &str, message: String| mainstay_control::Finding {
            code: code.to_owned(),
            message,
            line: None,
            help: None,
        };
        match self {
            Refused::Unreadable(path, error) => {
                vec![plain("unreadable", format!("cannot read {}: {error}", path.display()))]
            }
            Refused::Findings(findings, document) => {
                findings.iter().filter(|finding| finding.is_error()).map(|finding| document.wire(finding)).collect()
            }
            Refused::Secrets(missing) => missing.iter().map(|text| plain("secret", text.clone())).collect(),
            Refused::Gateway(error) => vec![plain("gateway", format!("{error:#}"))],
        }
    }
}
