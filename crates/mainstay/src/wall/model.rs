//! What a model's name says: `NAME[,KNOB=VALUE...][/RUN]`. The name chooses the fault, knobs its measures, and whatever stands behind
//! the slash keeps the counts of one run apart from those of another.

use std::time::Duration;

use super::catalogue::{Kind, kind};

/// Longest name that is understood, in bytes.
const NAME_MAX: usize = 200;

/// Most tokens of a stream whose length is chosen.
const TOKENS_MAX: usize = 100_000;

/// Most requests served at a time, and most that wait.
const PLACES_MAX: usize = 1_000_000;

/// Longest time that a knob can say.
const TIME_MAX: Duration = Duration::from_hours(1);

/// A model's name, understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    pub(super) kind: Kind,
    pub(super) knobs: Knobs,
}

/// Measures that a name can set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Knobs {
    /// Requests that are served at the same time.
    pub(super) slots: usize,
    /// Requests that wait for a slot; more are refused.
    pub(super) queue: usize,
    /// How long a request takes once it has a slot.
    pub(super) service: Duration,
    /// Keys that are not at their limit.
    pub(super) good: Vec<String>,
    /// Tokens per second of a stream; without it, as fast as they are taken.
    pub(super) rate: Option<f64>,
    /// Tokens of a stream, over and over the answer's.
    pub(super) tokens: Option<usize>,
    /// Whether each token is the time at which it was sent, in microseconds since 1970.
    pub(super) stamp: bool,
    /// How long a model that comes back is down.
    pub(super) down: Duration,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            slots: 4,
            queue: 1000,
            service: Duration::from_millis(100),
            good: Vec::new(),
            rate: None,
            tokens: None,
            stamp: false,
            down: Duration::from_mins(1),
        }
    }
}

impl Model {
    /// The model of that name, or what is wrong with the name.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        if name.len() > NAME_MAX {
            return Err("the model's name is too long".to_owned());
        }
        let (words, _) = name.split_once('/').unwrap_or((name, ""));
        let mut words = words.split(',');
        let first = words.next().unwrap_or_default();
        let kind = kind(first).ok_or_else(|| format!("the wall has no model `{first}`; see `mainstay wall --list`"))?;
        let mut knobs = Knobs::default();
        words.try_for_each(|word| knobs.set(word))?;
        Ok(Self { kind, knobs })
    }
}

impl Knobs {
    fn set(&mut self, word: &str) -> Result<(), String> {
        let (knob, value) = word.split_once('=').unwrap_or((word, ""));
        let wrong = || format!("`{value}` is no value of the knob `{knob}`");
        let count = |max| value.parse::<usize>().ok().filter(|n| *n <= max).ok_or_else(wrong);
        match knob {
            "slots" => self.slots = count(PLACES_MAX)?.max(1),
            "queue" => self.queue = count(PLACES_MAX)?,
            "service" => self.service = duration(value).ok_or_else(wrong)?,
            "down" => self.down = duration(value).ok_or_else(wrong)?,
            "tokens" => self.tokens = Some(count(TOKENS_MAX)?),
            "rate" => {
                self.rate = Some(value.parse().ok().filter(|rate| (0.01..=1e6).contains(rate)).ok_or_else(wrong)?);
            }
            "good" => self.good = value.split('+').filter(|key| !key.is_empty()).map(str::to_owned).collect(),
            "stamp" => self.stamp = true,
            _ => return Err(format!("there is no knob `{knob}`")),
        }
        Ok(())
    }

    /// Between two tokens.
    pub(super) fn pause(&self) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate))
    }
}

fn duration(text: &str) -> Option<Duration> {
    let parsed: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(parsed).ok().filter(|duration| *duration <= TIME_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_chooses_the_fault_its_measures_and_its_run() {
        let model = Model::parse("capacity,slots=2,service=50ms,queue=3/run,7").unwrap();
        let knobs = Knobs { slots: 2, queue: 3, service: Duration::from_millis(50), ..Knobs::default() };
        assert_eq!(model, Model { kind: Kind::Capacity, knobs });
        assert_eq!(Model::parse("s08/openai").unwrap().kind, Kind::Scenario(8));
        let good = Model::parse("keyed,good=a+b").unwrap().knobs.good;
        assert_eq!(good, ["a", "b"]);
        for wrong in ["", "s00", "s17", "slow,rate=0", "slow,rate", "slow,speed=1", "slow,tokens=100001", "s15,down=9h"]
        {
            assert!(Model::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Model::parse(&"x".repeat(201)).unwrap_err().contains("too long"));
    }
}
