//! Whether an experiment does harm, by evidence that may be looked at at any time.
//!
//! The test is conditional: it takes it as given when requests fail, and asks only in which arm. So whatever strikes both arms alike, such
//! as a shock, a trend or a bad hour, is no evidence. The null hypothesis: of the unanswered requests of a block the experiment's arm
//! has, on average and given all before, no greater part than it has of the block's requests.
//!
//! Where errors come singly this is the conditional beta-binomial test: a mixture, over how many times as often the experiment's arm
//! fails, of likelihood ratios of "which arm". Where several fall into one block their ratios are averaged, not multiplied: a block is one
//! bet, however its errors hang together (a burst, a caller that tries again and again). Each bet's expectation is at most 1
//! under the null hypothesis, so the product's is too, and by Ville's inequality (1939) it ever reaches `1 / alpha` with the chance
//! `alpha` at most. The price is that a block can at most double the evidence where the arms are of equal size: with blocks of five
//! seconds, nothing stops it within less than
//! five blocks.
//!
//! What is assumed: errors that belong together do not stretch over many blocks in one arm only. A single caller that always fails and is
//! in the experiment's arm looks like harm; where arms are assigned by client or header, longer blocks help ([`ErrorsTest::with_blocks`]),
//! and the lead-in shows it ([`super::evaluate`]).

/// How many pushes a block is, where nothing else is said: as many seconds. Where the last push has errors, which may belong to a burst,
/// it gets half as many more.
const BLOCK: u32 = 5;
/// Fewest requests that a block has of each arm: with fewer, the arms' sizes leave little to tell which arm an error should be of.
const REQUESTS_LEAST: u64 = 4;
/// How many times as many requests a block has of one arm as of the other, where waiting helps.
const UNEVEN_MOST: u64 = 3;
/// After so many pushes a block is closed though its arms are uneven.
const WAIT_MOST: u32 = 600;
/// Evidence is held within these: it is enough long before, and must stay finite.
const EVIDENCE: (f64, f64) = (1e-300, 1e300);

/// How many times as often the experiment's arm fails: the alternatives that are mixed, evenly.
const RATIOS: [f64; 4] = [1.5, 3.0, 6.0, 50.0];

/// Whether the experiment's arm has more unanswered requests than its control. Its memory does not grow.
///
/// ```
/// use mainstay_core::chaos::evidence::ErrorsTest;
///
/// let mut test = ErrorsTest::new(0.05);
/// let stop = (1..=600).find(|_| {
///     test.push((0, 4), (1, 4));
///     test.stops()
/// });
/// assert!(stop.is_some(), "a quarter fails, of four requests a second");
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct ErrorsTest {
    enough: f64,
    block: u32,
    evidence: [f64; RATIOS.len()],
    most: f64,
    pushes: u32,
    control: (u64, u64),
    experiment: (u64, u64),
}

impl ErrorsTest {
    /// A test that stops by mistake with the chance `alpha` at most, however often it is looked at.
    pub fn new(alpha: f64) -> ErrorsTest {
        ErrorsTest::with_blocks(alpha, BLOCK)
    }

    /// A test with blocks of so many pushes: longer ones bear longer bursts, and stop later.
    pub fn with_blocks(alpha: f64, pushes: u32) -> ErrorsTest {
        ErrorsTest {
            enough: 1.0 / alpha.clamp(1e-9, 1.0),
            block: pushes.clamp(1, WAIT_MOST),
            evidence: [1.0; RATIOS.len()],
            most: 1.0,
            pushes: 0,
            control: (0, 0),
            experiment: (0, 0),
        }
    }

    /// Takes in what was counted since the last push, once a second: unanswered requests and requests of each arm.
    pub fn push(&mut self, control: (u64, u64), experiment: (u64, u64)) {
        self.pushes = self.pushes.saturating_add(1);
        for (held, (unanswered, requests)) in [(&mut self.control, control), (&mut self.experiment, experiment)] {
            held.0 = held.0.saturating_add(unanswered.min(requests));
            held.1 = held.1.saturating_add(requests);
        }
        let (least, most) = (self.control.1.min(self.experiment.1), self.control.1.max(self.experiment.1));
        let even = most <= least.saturating_mul(UNEVEN_MOST) || self.pushes >= WAIT_MOST;
        let quiet = control.0 == 0 && experiment.0 == 0;
        let due = self.pushes >= self.block && (quiet || self.pushes >= self.block + self.block / 2);
        if due && least >= REQUESTS_LEAST && even {
            self.close();
        }
    }

    /// How strong the evidence is. Without harm its expectation is at most 1.
    pub fn evidence(&self) -> f64 {
        self.evidence.iter().sum::<f64>() / self.evidence.len() as f64
    }

    /// Whether the evidence was ever enough to stop.
    pub fn stops(&self) -> bool {
        self.most >= self.enough
    }

    /// Ends a block: one bet on the part of its errors that the experiment's arm has.
    fn close(&mut self) {
        let (control, experiment) = (std::mem::take(&mut self.control), std::mem::take(&mut self.experiment));
        self.pushes = 0;
        let errors = control.0 as f64 + experiment.0 as f64;
        if errors == 0.0 {
            return;
        }
        let expected = experiment.1 as f64 / (control.1 as f64 + experiment.1 as f64);
        let seen = experiment.0 as f64 / errors;
        for (evidence, ratio) in self.evidence.iter_mut().zip(RATIOS) {
            *evidence = (*evidence * bet(seen, expected, ratio)).clamp(EVIDENCE.0, EVIDENCE.1);
        }
        self.most = self.most.max(self.evidence());
    }
}

/// The mean likelihood ratio of a block's errors, of which the experiment's arm has the part `seen`, where it should have `expected` and
/// fails `ratio` times as often.
fn bet(seen: f64, expected: f64, ratio: f64) -> f64 {
    let scale = expected * ratio + 1.0 - expected;
    (seen * ratio + 1.0 - seen) / scale
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The expectation of a block's evidence over all ways in which its errors can fall on the requests of both arms, each as likely.
    fn expectation(control: u64, experiment: u64, errors: u64, starts: &[(u64, u64)]) -> f64 {
        let choose = |n: u64, k: u64| (0..k).fold(1.0, |ways, at| ways * (n - at) as f64 / (at + 1) as f64);
        let all = choose(control + experiment, errors);
        let possible = (0..=errors).filter(|of| *of <= experiment && errors - of <= control);
        possible
            .map(|of| {
                let mut test = ErrorsTest::with_blocks(0.05, 1);
                for (before_control, before_experiment) in starts {
                    test.push((*before_control, 10), (*before_experiment, 10));
                    test.push((0, 0), (0, 0));
                }
                let before = test.evidence();
                test.push((errors - of, control), (of, experiment));
                choose(control, errors - of) * choose(experiment, of) / all * test.evidence() / before
            })
            .sum()
    }

    #[test]
    fn without_harm_the_expectation_is_one() {
        for (control, experiment) in [(10, 10), (4, 9), (12, 5), (5, 5)] {
            for errors in 0..=(control + experiment) {
                for starts in [&[][..], &[(0, 3), (1, 1)], &[(5, 0)]] {
                    let expectation = expectation(control, experiment, errors, starts);
                    assert!((expectation - 1.0).abs() < 1e-9, "{control} {experiment} {errors}: {expectation}");
                }
            }
        }
    }

    #[test]
    fn a_burst_is_one_bet_however_large() {
        let with = |errors: u64| {
            let mut test = ErrorsTest::with_blocks(0.05, 1);
            test.push((0, 1_000), (errors, 1_000));
            test.evidence()
        };
        assert_eq!(with(1), with(1_000));
        assert!(with(1_000) < 2.0);
    }

    #[test]
    fn single_errors_are_the_beta_binomial_test() {
        let mut test = ErrorsTest::with_blocks(0.05, 1);
        for at in 0..20 {
            test.push((u64::from(at % 4 == 0), 10), (u64::from(at % 4 != 0), 10));
        }
        let of = |ratio: f64| (2.0 * ratio / (ratio + 1.0)).powi(15) * (2.0 / (ratio + 1.0)).powi(5);
        let mixed = RATIOS.iter().map(|ratio| of(*ratio)).sum::<f64>() / RATIOS.len() as f64;
        assert!((test.evidence() / mixed - 1.0).abs() < 1e-9);
    }

    #[test]
    fn all_of_the_arm_stops_within_a_minute_and_it_stays_stopped() {
        let mut test = ErrorsTest::new(0.05);
        let stop = (1..=60).find(|_| {
            test.push((0, 4), (4, 4));
            test.stops()
        });
        assert!(stop.is_some());
        (0..600).for_each(|_| test.push((4, 4), (0, 4)));
        assert!(test.stops() && test.evidence() < 1.0);
    }

    #[test]
    fn what_strikes_both_and_what_helps_is_no_harm() {
        let mut test = ErrorsTest::new(0.05);
        for _ in 0..3_600 {
            test.push((3, 4), (3, 4));
            assert!(!test.stops());
        }
        let mut better = ErrorsTest::new(0.05);
        (0..3_600).for_each(|_| better.push((2, 4), (0, 4)));
        assert!(better.evidence() < 1e-3 && !better.stops());
    }

    #[test]
    fn a_larger_arm_may_have_more_errors() {
        let mut test = ErrorsTest::new(0.05);
        for _ in 0..3_600 {
            test.push((1, 10), (3, 30));
            assert!(!test.stops());
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_the_evidence_is_a_number(
            pushes in prop::collection::vec((any::<(u64, u64)>(), any::<(u64, u64)>()), 0..200),
            small in prop::collection::vec(((0..3_u64, 0..9_u64), (0..9_u64, 0..9_u64)), 0..200),
            alpha in prop_oneof![Just(0.0), Just(f64::NAN), 0.0..2.0],
            block in any::<u32>(),
        ) {
            let mut test = ErrorsTest::with_blocks(alpha, block);
            for (control, experiment) in pushes.into_iter().chain(small) {
                test.push(control, experiment);
                prop_assert!(test.evidence().is_finite() && test.evidence() >= 0.0);
            }
        }
    }
}
