//! What a spent budget forbids.

/// Something that puts a budget at risk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Action {
    /// Breaking something on purpose.
    Experiment,
    /// Making a model version the champion.
    Promotion,
    /// Putting a change of one's own in force.
    Release,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 3] = [Action::Experiment, Action::Promotion, Action::Release];

    /// The name that the config uses.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Experiment => "experiment",
            Action::Promotion => "promotion",
            Action::Release => "release",
        }
    }
}

/// What is refused while little of a budget is left.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The rules; all that hold apply.
    pub rules: Vec<Rule>,
}

/// One rule of a policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// It holds while less than this share of the budget is left; 0: while nothing is left.
    pub below: f64,
    /// What it refuses.
    pub refuse: Vec<Action>,
}

impl Default for Policy {
    /// Below a quarter no experiments and promotions; with nothing left no releases either.
    fn default() -> Policy {
        let rules = vec![
            Rule { below: 0.25, refuse: vec![Action::Experiment, Action::Promotion] },
            Rule { below: 0.0, refuse: vec![Action::Release] },
        ];
        Policy { name: "default".to_owned(), rules }
    }
}

impl Policy {
    /// Whether an action is refused while `remaining` of the budget is left.
    pub fn refuses(&self, action: Action, remaining: f64) -> bool {
        let holds = |rule: &&Rule| remaining < rule.below || (rule.below == 0.0 && remaining <= 0.0);
        self.rules.iter().filter(holds).any(|rule| rule.refuse.contains(&action))
    }
}

/// Why an action is refused.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("policy `{policy}` refuses a {action}: {left:.0} % of the budget of `{objective}` is left")]
pub struct Refusal {
    /// The policy.
    pub policy: String,
    /// The action's name.
    pub action: &'static str,
    /// The objective whose budget it is.
    pub objective: String,
    /// Percent of the budget that is left.
    pub left: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_policy_refuses_step_by_step() {
        let policy = Policy::default();
        let refused = |remaining: f64| Action::ALL.map(|action| policy.refuses(action, remaining));
        assert_eq!(refused(0.25), [false, false, false]);
        assert_eq!(refused(0.24), [true, true, false]);
        assert_eq!(refused(0.0), [true, true, true]);
        assert_eq!(refused(-2.0), [true, true, true]);
    }
}
