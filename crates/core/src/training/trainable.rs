//! The same policy around a loop in Rust: saves, goes back after a failure, and gives up when nothing helps.

use std::collections::VecDeque;

use super::class::Class;
use super::numeric::{Guard, Settings as NumericSettings};
use super::policy::{Policy, Settings, Verdict};
use crate::rng::Rng;

/// Something that learns step by step and can be put back to where it was.
pub trait Trainable {
    /// All that decides the next step.
    type Checkpoint: Clone;

    /// Makes a step and gives its loss.
    fn step(&mut self) -> Result<f64, StepError>;

    /// What to go back to.
    fn save(&self) -> Self::Checkpoint;

    /// Goes back.
    fn restore(&mut self, checkpoint: &Self::Checkpoint);
}

/// Checkpoints that are kept: the newest may be from after the loss went wrong.
const KEPT: usize = 3;

/// Why a step failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {message}", class.as_str())]
pub struct StepError {
    /// The class, whose budget it uses.
    pub class: Class,
    /// What happened.
    pub message: String,
}

/// How training went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Steps that are kept.
    pub steps: u64,
    /// Times that it was started.
    pub attempts: u32,
    /// Steps that were made and lost.
    pub lost: u64,
    /// Checkpoints.
    pub checkpoints: u32,
}

/// Why training gave up, and how far it was.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason} (after {})", .report.attempts)]
pub struct GaveUp {
    /// The policy's reason, with what happened last.
    pub reason: String,
    /// How it went.
    pub report: Report,
}

/// Trains to `total` steps with a checkpoint after each `every`. Pauses between attempts are given to `wait`.
pub fn train<T: Trainable>(
    job: &mut T,
    total: u64,
    every: u64,
    settings: Settings,
    rng: &mut Rng,
    mut wait: impl FnMut(std::time::Duration),
) -> Result<Report, GaveUp> {
    let mut policy = Policy::new(settings);
    let mut guard = Guard::new(NumericSettings::default());
    let mut report = Report { attempts: 1, ..Report::default() };
    let mut kept = VecDeque::from([(0, job.save())]);
    let mut step = 0;
    while step < total {
        let failure = match job.step() {
            Ok(loss) => guard.handle_loss(step + 1, loss).map(|trouble| {
                let message = format!("the loss went wrong at step {}", trouble.onset());
                (StepError { class: Class::Numeric, message }, trouble.suspect_from())
            }),
            Err(error) => Some((error, u64::MAX)),
        };
        if let Some((error, suspect)) = failure {
            while kept.len() > 1 && kept.back().is_some_and(|(at, _)| *at >= suspect) {
                kept.pop_back();
            }
            let (kept_at, checkpoint) = kept.back().expect("one is always kept");
            let kept_at = *kept_at;
            report.lost += step - kept_at;
            match policy.handle_failure(error.class, 0, rng) {
                Verdict::Retry(pause) => wait(pause),
                Verdict::Stop(why) => {
                    report.steps = kept_at;
                    return Err(GaveUp { reason: format!("{why}: {}", error.message), report });
                }
            }
            job.restore(checkpoint);
            guard = Guard::new(NumericSettings::default());
            (step, report.attempts) = (kept_at, report.attempts + 1);
            continue;
        }
        step += 1;
        if step.is_multiple_of(every.max(1)) || step == total {
            kept.push_back((step, job.save()));
            kept.drain(..kept.len().saturating_sub(KEPT));
            report.checkpoints += 1;
            policy.handle_verified(step);
        }
    }
    report.steps = step;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums what it sees, and falls over at some steps, once each.
    struct Sum {
        seen: Vec<u64>,
        next: u64,
        falls: Vec<u64>,
    }

    impl Trainable for Sum {
        type Checkpoint = (Vec<u64>, u64);

        fn step(&mut self) -> Result<f64, StepError> {
            if let Some(at) = self.falls.iter().position(|fall| *fall == self.next) {
                self.falls.remove(at);
                return Err(StepError { class: Class::Crash, message: "on purpose".to_owned() });
            }
            self.seen.push(self.next);
            self.next += 1;
            Ok(1.0)
        }

        fn save(&self) -> Self::Checkpoint {
            (self.seen.clone(), self.next)
        }

        fn restore(&mut self, checkpoint: &Self::Checkpoint) {
            (self.seen, self.next) = checkpoint.clone();
        }
    }

    #[test]
    fn a_crash_repeats_and_omits_nothing() {
        let mut job = Sum { seen: Vec::new(), next: 0, falls: vec![3, 17, 55, 99] };
        let report = train(&mut job, 100, 10, Settings::default(), &mut Rng::new(1), |_| {}).unwrap();
        assert_eq!(job.seen, (0..100).collect::<Vec<_>>());
        assert_eq!(report, Report { steps: 100, attempts: 5, lost: 3 + 7 + 5 + 9, checkpoints: 10 });
    }

    #[test]
    fn what_never_gets_further_gives_up() {
        let mut job = Sum { seen: Vec::new(), next: 0, falls: vec![5; 20] };
        let error = train(&mut job, 100, 10, Settings::default(), &mut Rng::new(1), |_| {}).unwrap_err();
        assert_eq!(error.report.attempts, 4);
        assert!(error.reason.contains("on purpose"));
    }
}
