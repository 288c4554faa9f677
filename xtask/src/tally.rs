//! How many tests passed and failed, read from what the test programs print.

use std::iter::Sum;

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Tally {
    /// A step that is one test by itself.
    pub(crate) fn one(held: bool) -> Self {
        Self { passed: usize::from(held), failed: usize::from(!held) }
    }

    /// The sum over the `test result:` lines of Rust's test programs.
    pub(crate) fn of_cargo(output: &str) -> Self {
        let results = output.lines().filter_map(|line| line.split_once("test result: "));
        results.map(|(_, counts)| Self::counted(counts, "passed", "failed")).sum()
    }

    /// The last line of pytest; an error in a fixture counts as a failed test.
    pub(crate) fn of_pytest(output: &str) -> Self {
        // From a minute on the seconds have the time in hours after them.
        let ends = |line: &&str| line.contains(" in ") && (line.ends_with('s') || line.ends_with(')'));
        let last = output.lines().rev().find(ends).unwrap_or_default();
        let tally = Self::counted(last, "passed", "failed");
        Self { failed: tally.failed + before(last, "error") + before(last, "skipped"), ..tally }
    }

    fn counted(text: &str, passed: &str, failed: &str) -> Self {
        Self { passed: before(text, passed), failed: before(text, failed) }
    }

    /// With at least one failure: a program that ended badly without a count is a failed test.
    pub(crate) fn unless(self, success: bool) -> Self {
        if success { self } else { Self { failed: self.failed.max(1), ..self } }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |a, b| Self { passed: a.passed + b.passed, failed: a.failed + b.failed })
    }
}

/// The number in front of `word`, as in `3 passed`.
fn before(text: &str, word: &str) -> usize {
    let words: Vec<_> = text.split_whitespace().collect();
    let pairs = words.windows(2).filter(|pair| pair[1].trim_matches([',', ';', '.']).trim_end_matches('s') == word);
    pairs.filter_map(|pair| pair[0].parse::<usize>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_program_of_cargo_is_counted() {
        let output = "
test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(Tally::of_cargo(output), Tally { passed: 7, failed: 1 });
    }

    #[test]
    fn errors_and_skips_of_pytest_are_failures() {
        let output = "FAILED a.py::b\n==== 1 failed, 4 passed, 2 skipped, 3 errors in 6.2s ====";
        assert_eq!(Tally::of_pytest(&output.replace(" ====", "")), Tally { passed: 4, failed: 6 });
        assert_eq!(Tally::of_pytest("35 passed, 1 skipped in 100.33s (0:01:40)"), Tally { passed: 35, failed: 1 });
        assert_eq!(Tally::of_pytest("1 passed, 5 deselected in 16.53s"), Tally { passed: 1, failed: 0 });
    }

    #[test]
    fn a_program_that_ended_badly_without_a_count_is_a_failure() {
        assert_eq!(Tally::default().unless(false), Tally { passed: 0, failed: 1 });
    }
}
