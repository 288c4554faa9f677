//! Who injects faults.

use mainstay_core::chaos::arms::Beat;
use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::order::Order;

/// Injects faults on orders, each for as long as it is renewed: whoever gives orders and dies, or hangs, leaves nothing behind.
pub trait Injecting: Send + Sync + 'static {
    /// Whether the fault of an experiment could be injected, or why not.
    fn check(&self, experiment: &Experiment) -> Result<(), String>;
    /// Takes an order; one with a higher generation replaces those of the same run before it.
    fn inject(&self, order: Order) -> Result<(), String>;
    /// An order still stands.
    fn renew(&self, run: &str, generation: u64) -> Result<(), String>;
    /// Ends an order and those of the same run before it; no error where there is none.
    fn withdraw(&self, run: &str, generation: u64);
    /// Ends all orders and takes no others, or takes them again.
    fn halt(&self, halted: bool);
    /// What became of the orders since this was last asked.
    fn beats(&self) -> Vec<Beat>;
}
