//! How a run goes, on a terminal in one line that changes, elsewhere in lines.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mainstay_core::chaos::record::{Phase, Run};
use mainstay_core::time::Time;

use crate::commands::train::now;
use crate::output;
use crate::words::{line, span};

/// How often a line is written where there is no terminal, unless something changes.
const EVERY: Duration = Duration::from_secs(30);

pub(super) struct Progress {
    bar: ProgressBar,
    phase: Cell<Option<Phase>>,
    told: RefCell<Option<Instant>>,
    /// Lines of the journal that were told.
    journal: Cell<usize>,
}

impl Progress {
    pub(super) fn start(run: &Run) -> Progress {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        bar.set_style(style.expect("the template is valid"));
        bar.enable_steady_tick(Duration::from_millis(250));
        let progress = Progress { bar, phase: Cell::new(None), told: RefCell::new(None), journal: Cell::new(0) };
        progress.say(&format!("{} runs {}", run.id, line(&run.experiment.name)));
        progress
    }

    /// Shows where it is, and what its journal says since.
    pub(super) fn show(&self, run: &Run) {
        for entry in run.journal.iter().skip(self.journal.replace(run.journal.len())) {
            self.say(&format!("  {}: {}", line(&entry.what), line(&entry.text)));
        }
        let text = standing(run, now());
        if !self.bar.is_hidden() {
            self.bar.set_message(text);
            return;
        }
        let is_new = self.phase.replace(Some(run.phase)) != Some(run.phase);
        let mut told = self.told.borrow_mut();
        if is_new || told.is_none_or(|at| at.elapsed() >= EVERY) {
            *told = Some(Instant::now());
            output::say(format_args!("{text}"));
        }
    }

    /// Says something beside it.
    pub(super) fn say(&self, text: &str) {
        self.bar.suspend(|| output::say(format_args!("{text}")));
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Where a run is, in a line.
fn standing(run: &Run, now: Time) -> String {
    let left = end(run).map(|end| span(Some(end.since(now).as_secs_f64())));
    let left = left.map_or_else(String::new, |left| format!(", {left} left"));
    let mut parts = vec![format!("{}{left}", run.phase.name().replace('_', " "))];
    let of = run.slices.iter().filter(|slice| slice.phase == run.phase);
    let (mut requests, mut unanswered, mut injected) = ([0_u64; 2], [0_u64; 2], 0_u64);
    for slice in of {
        for arm in 0..2 {
            requests[arm] += slice.requests[arm];
            unanswered[arm] += slice.unanswered[arm];
        }
        injected += slice.injected;
    }
    for (arm, name) in ["control", "experiment"].into_iter().enumerate() {
        parts.push(format!("{name} {} requests, {} unanswered", requests[arm], unanswered[arm]));
    }
    if run.phase == Phase::Injecting && requests[1] > 0 {
        let dose = 100.0 * injected as f64 / requests[1] as f64;
        parts.push(format!("met the fault {injected} ({dose:.1} %)"));
    }
    parts.join("; ")
}

/// When the phase ends at the latest.
fn end(run: &Run) -> Option<Time> {
    let experiment = &run.experiment;
    match run.phase {
        Phase::LeadIn => Some(run.started + experiment.lead_in),
        Phase::Injecting => run.injected.map(|at| at + experiment.duration),
        Phase::Recovering => run.withdrawn.map(|at| at + experiment.recovery),
        Phase::Ended => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_under_way_is_a_line_with_both_arms() {
        let run: Run = serde_json::from_str(super::super::report::RUN).expect("a run");
        let now = run.injected.expect("a fault") + Duration::from_secs(50);
        let under_way = Run { phase: Phase::Injecting, ..run };
        assert_eq!(
            standing(&under_way, now),
            "injecting, 10s left; control 600 requests, 1 unanswered; experiment 610 requests, 31 unanswered; met the fault 305 (50.0 %)"
        );
    }
}
