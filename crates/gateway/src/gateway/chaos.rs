//! Faults on purpose, as those who control experiments see them.

use mainstay_core::chaos::arms::Beat;
use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::order::Order;

use super::Gateway;
use crate::chaos::InjectError;

impl Gateway {
    /// Takes an order: from the next request on its fault is in force, until its lease runs out, it is withdrawn, or all is halted.
    /// It ends as well where a reload changes its route or its target, and it does not outlive the process.
    pub fn inject(&self, order: Order) -> Result<(), InjectError> {
        self.current.load().injector.inject(order)
    }

    /// Lets an order stand for another `ttl`. One that ended does not come back.
    pub fn renew_fault(&self, run: &str, generation: u64) -> Result<(), InjectError> {
        self.current.load().injector.renew(run, generation)
    }

    /// Takes an order back, and those before it of the same run. It is no error that it was not in force.
    pub fn withdraw_fault(&self, run: &str, generation: u64) {
        self.current.load().injector.withdraw(run, generation);
    }

    /// Ends all orders and takes none until it is called with `false`.
    pub fn halt_faults(&self, halted: bool) {
        self.current.load().injector.halt(halted);
    }

    /// What was counted of orders since this was last asked: one for each in force, and for those that ended since or of which
    /// requests ended since. Each request is told of once, at most 200 ms after it ended.
    pub fn take_beats(&self) -> Vec<Beat> {
        let shared = self.current.load();
        shared.injector.take_beats(shared.clock.now())
    }

    /// Whether the order of an experiment would be taken.
    pub fn check_fault(&self, experiment: &Experiment) -> Result<(), InjectError> {
        self.current.load().injector.check(experiment)
    }
}
