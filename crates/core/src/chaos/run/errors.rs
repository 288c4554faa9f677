//! Whether more requests of the experiment's arm are unanswered: looked at with each beat.

use super::course::Why;
use crate::chaos::arms::{Beat, Counts};
use crate::chaos::evidence::ErrorsTest;
use crate::chaos::order::Arm;

/// With which chance a run without any effect is stopped.
const ALPHA: f64 = 0.05;

/// Evidence of a run.
#[derive(Clone, Debug)]
pub(super) struct Errors {
    test: ErrorsTest,
    /// What was counted of a control's block and of the experiment's after it, up to now, where arms are blocks of time.
    blocks: Option<[(u64, u64); 2]>,
}

impl Errors {
    pub(super) fn new(in_blocks: bool) -> Errors {
        Errors { test: ErrorsTest::new(ALPHA), blocks: in_blocks.then_some([(0, 0); 2]) }
    }

    /// Takes in what was counted. Where arms are blocks of time they are compared at the end of each pair of blocks.
    pub(super) fn push(&mut self, beat: &Beat) {
        let arm = |counts: &Counts| (counts.unanswered, counts.requests);
        let [control, experiment] = [arm(&beat.arms[0]), arm(&beat.arms[1])];
        let Some(pair) = &mut self.blocks else {
            self.test.push(control, experiment);
            return;
        };
        if control.1 > 0 && pair[Arm::Experiment.index()].1 > 0 {
            self.test.push(pair[0], pair[1]);
            *pair = [(0, 0); 2];
        }
        for (sum, more) in pair.iter_mut().zip([control, experiment]) {
            *sum = (sum.0 + more.0, sum.1 + more.1);
        }
    }

    pub(super) fn why(&self) -> Option<Why<'static>> {
        let evidence = self.test.evidence();
        self.test.stops().then(|| {
            let text = format!(
                "more requests of the experiment's arm are unanswered than of its control (evidence {evidence:.0})"
            );
            Why::new("errors", text)
        })
    }
}
