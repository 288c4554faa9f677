//! The guide by which a scenario is talked through: nothing goes wrong, and everybody says what they would do.

use std::fmt::Write as _;

use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::gameday::{Scenario, Step, Wanted};
use mainstay_core::chaos::written::{format_duration, format_share};

use crate::review::markdown::{heading, inline};
use crate::review::text::Text;

/// Lines for an answer.
const BLANK: &str = "\n> \n>\n>\n";

/// What a guide is made of besides the scenario.
#[derive(Clone, Debug, Default)]
pub struct Guide {
    /// The service's name.
    pub service: String,
    /// Where what is told of people comes from, such as `the running service`.
    pub source: String,
    /// Experiments that are known by name.
    pub experiments: Vec<Experiment>,
    /// Who would be paged, by the type of the incident; the first entry of an empty type is for all others.
    pub people: Vec<Person>,
    /// Runbooks by type.
    pub runbooks: Vec<Runbook>,
    /// What answers a route, level by level, by the route's name.
    pub ladders: Vec<(String, Vec<String>)>,
    /// Types of incidents that an experiment may open where it does not say, by the fault's name.
    pub likely: Vec<(String, Vec<String>)>,
}

/// Somebody who would be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// The type of the incident; empty: any.
    pub kind: String,
    /// Who, and by what, in a line.
    pub text: String,
}

/// What is known of a type of incidents.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Runbook {
    /// The type.
    pub kind: String,
    /// Its name for people.
    pub title: String,
    /// What it is.
    pub about: String,
    /// Parts, such as what to do at once, each with its lines.
    pub parts: Vec<(String, Vec<String>)>,
}

impl Guide {
    /// The guide as Markdown. What the scenario's own notes say stays as it is written there.
    pub fn markdown(&self, scenario: &Scenario) -> String {
        let mut out = String::new();
        let title = if scenario.title.is_empty() { &scenario.name } else { &scenario.title };
        line(&mut out, &format!("# Tabletop: {}\n", heading(&Text::line(title))));
        line(
            &mut out,
            "Nothing is injected. Go through the steps in order; write down what is said under each question.\n",
        );
        item(&mut out, "Scenario", &scenario.name);
        item(&mut out, "Service", &self.service);
        if !scenario.purpose.is_empty() {
            item(&mut out, "Purpose", &scenario.purpose);
        }
        if !self.source.is_empty() {
            item(&mut out, "People and runbooks", &format!("as {} has them", self.source));
        }
        if !scenario.participants.is_empty() {
            line(&mut out, "\n## Who takes part\n");
            for participant in &scenario.participants {
                item(&mut out, participant.role.title(), &participant.name);
            }
        }
        free(&mut out, &scenario.notes);
        for (number, step) in (1..).zip(&scenario.steps) {
            self.step(&mut out, number, step);
        }
        line(&mut out, "\n## Afterwards\n");
        for question in AFTERWARDS {
            ask(&mut out, question);
        }
        if !scenario.criteria.is_empty() {
            line(&mut out, "\nA live game day would be judged by:\n");
            for criterion in &scenario.criteria {
                item(&mut out, &criterion.name, &criterion.holds);
            }
        }
        out
    }

    fn step(&self, out: &mut String, number: usize, step: &Step) {
        line(out, &format!("\n## Step {number}: {}\n", heading(&Text::line(step.name()))));
        let experiment = match &step.experiment {
            Wanted::Inline(experiment) => Some(&**experiment),
            Wanted::Named(name) => self.experiments.iter().find(|it| it.name == *name),
        };
        match experiment {
            Some(experiment) => self.experiment(out, experiment),
            None => line(
                out,
                &format!("The experiment {} is not known here.\n", inline(&Text::line(step.experiment.name()))),
            ),
        }
        free(out, &step.notes);
        if !step.expect.is_empty() {
            line(out, "\n### What is expected\n");
            step.expect.iter().for_each(|text| entry(out, text));
        }
        line(out, "\n### Questions\n");
        let own = step.questions.iter().map(String::as_str);
        for question in own.chain(QUESTIONS) {
            ask(out, question);
        }
        if !step.criteria.is_empty() {
            line(out, "\nA live game day would be judged by:\n");
            for criterion in &step.criteria {
                item(out, &criterion.name, &criterion.holds);
            }
        }
    }

    fn experiment(&self, out: &mut String, it: &Experiment) {
        line(out, "### What would happen\n");
        if !it.title.is_empty() {
            item(out, "Experiment", &it.title);
        }
        item(out, "Fault", &it.fault.name().replace('_', " "));
        item(out, "Route", &it.route);
        if let Some(target) = &it.target {
            item(out, "Target", target);
        }
        let reach =
            format!("{} of the route's requests, dose {}", format_share(it.cohort.share), format_share(it.dose));
        item(out, "Reach", &format!("{reach}, for {}", format_duration(it.duration)));
        item(out, "Believed", &it.hypothesis);
        line(out, "\n### What answers instead\n");
        match self.ladders.iter().find(|(route, _)| *route == it.route) {
            Some((_, levels)) => levels.iter().for_each(|level| entry(out, level)),
            None => line(out, &format!("The config has no route {}.\n", inline(&Text::line(&it.route)))),
        }
        let likely = self.likely.iter().find(|(fault, _)| fault == it.fault.name()).map(|(_, kinds)| kinds.clone());
        let kinds =
            if it.expect.incidents.is_empty() { likely.unwrap_or_default() } else { it.expect.incidents.clone() };
        line(out, "\n### Who would be paged\n");
        let mut told: Vec<&Person> = self.people.iter().filter(|it| kinds.contains(&it.kind)).collect();
        if told.is_empty() {
            told = self.people.iter().filter(|it| it.kind.is_empty()).collect();
        }
        if told.is_empty() {
            line(out, "Nobody: the config has no policy that pages.\n");
        }
        for it in told {
            entry(out, &it.text);
        }
        for kind in &kinds {
            if let Some(runbook) = self.runbooks.iter().find(|it| it.kind == *kind) {
                write_runbook(out, runbook);
            }
        }
    }
}

/// Asked after each step.
const QUESTIONS: [&str; 5] = [
    "How is it noticed, and after how long?",
    "Who takes it, and who has to know?",
    "What is looked at first, and what is done first?",
    "What do users see meanwhile?",
    "How is it known that it is over?",
];

/// Asked at the end.
const AFTERWARDS: [&str; 3] = [
    "What was surprising?",
    "Which step of a runbook was missing or wrong?",
    "What is to be done, by whom, until when?",
];

fn write_runbook(out: &mut String, it: &Runbook) {
    line(out, &format!("\n### Runbook: {}\n", heading(&Text::line(&it.title))));
    line(out, &format!("{}\n", inline(&Text::long(&it.about))));
    for (name, lines) in it.parts.iter().filter(|(_, lines)| !lines.is_empty()) {
        line(out, &format!("\n{}:\n", inline(&Text::line(name))));
        for (number, text) in (1..).zip(lines) {
            line(out, &format!("{number}. {}", inline(&Text::long(text))));
        }
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string takes all");
}

fn item(out: &mut String, name: &str, text: &str) {
    line(out, &format!("- **{}:** {}", inline(&Text::line(name)), inline(&Text::long(text))));
}

fn entry(out: &mut String, text: &str) {
    line(out, &format!("- {}", inline(&Text::long(text))));
}

fn ask(out: &mut String, question: &str) {
    line(out, &format!("- {}\n{BLANK}", inline(&Text::line(question))));
}

/// Markdown that somebody wrote; what a terminal would obey is left out.
fn free(out: &mut String, text: &str) {
    if !text.trim().is_empty() {
        let shown: String = text.chars().filter(|it| *it == '\n' || *it == '\t' || !it.is_control()).collect();
        line(out, &format!("\n{}\n", shown.trim()));
    }
}
