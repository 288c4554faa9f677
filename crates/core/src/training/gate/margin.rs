//! Not worse than the champion: by an interval of the difference, not by two numbers that both have noise.

use serde_json::{Map, Value};

use super::Answer;
use crate::stats::wilson;

/// The one-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.644_853_626_951_472_2;

/// Non-inferiority: with 95 % confidence the metric is worse than the champion's by less than the margin.
///
/// - A share, such as `accuracy`, of `n` samples (`metrics.n`, as many as an evaluation says): Newcombe's hybrid of two
///   Wilson intervals (Newcombe 1998, method 10, <https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8%3C873::AID-SIM779%3E3.0.CO;2-I>).
/// - A mean, such as `loss`, where `metrics.loss_sd` holds the standard deviation over the `n` samples: the normal interval of the
///   difference of two means.
/// - Paired, where `metrics.<name>_gained` and `metrics.<name>_lost` count samples that only this one, and only the
///   champion, gets right: the normal interval of paired shares (Agresti, Categorical Data Analysis, 11.1).
#[derive(Clone, PartialEq, Debug)]
pub struct NotWorse {
    metric: String,
    margin: f64,
    lower_is_better: bool,
}

impl Eq for NotWorse {}

impl NotWorse {
    /// From `METRIC within MARGIN`, with `lower` where less is better.
    pub(super) fn parse(text: &str) -> Option<NotWorse> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (metric, margin, lower_is_better) = match words[..] {
            [metric, "within", margin] => (metric, margin, false),
            [metric, "within", margin, "lower"] => (metric, margin, true),
            _ => return None,
        };
        let margin = margin.parse().ok().filter(|margin: &f64| margin.is_finite() && *margin >= 0.0)?;
        Some(NotWorse { metric: metric.to_owned(), margin, lower_is_better })
    }

    pub(super) fn text(&self) -> String {
        let lower = if self.lower_is_better { " lower" } else { "" };
        format!("not-worse:{} within {}{lower}", self.metric, self.margin)
    }

    /// What the gate says. Without a champion there is nothing to be worse than; a number that is missing or not finite
    /// never passes.
    pub fn ask(&self, metrics: &Map<String, Value>, champion: Option<&Map<String, Value>>) -> Answer {
        let answer = |passed, reason: String| Answer { gate: self.text(), passed, reason };
        let ours = match self.sample(metrics, "metrics") {
            Ok(ours) => ours,
            Err(why) => return answer(false, why),
        };
        let Some(champion) = champion else { return answer(true, "there is no champion".to_owned()) };
        let theirs = match self.sample(champion, "champion") {
            Ok(theirs) => theirs,
            Err(why) => return answer(false, why),
        };
        let Some(worst) = self.worst(&ours, &theirs) else {
            return answer(false, format!("`{}` of one is a share and of the other a mean", self.metric));
        };
        let reason = format!(
            "{:.6} against {:.6}: with 95 % confidence worse by less than {:.6}, {} are allowed",
            ours.value,
            theirs.value,
            worst.max(0.0),
            self.margin
        );
        answer(worst <= self.margin, reason)
    }

    /// The most by which ours may be worse, with 95 % confidence.
    fn worst(&self, ours: &Sample, theirs: &Sample) -> Option<f64> {
        let sign = if self.lower_is_better { -1.0 } else { 1.0 };
        let difference = sign * (ours.value - theirs.value);
        let spread = match (ours.kind, theirs.kind) {
            (Kind::Paired { gained, lost }, _) => {
                let n = ours.n as f64;
                let net = (gained - lost) / n;
                let spread = Z * ((gained + lost) / n - net * net).max(0.0).sqrt() / n.sqrt();
                return Some(spread - sign * net);
            }
            (Kind::Mean { sd: ours_sd }, Kind::Mean { sd: theirs_sd }) => {
                Z * (ours_sd * ours_sd / ours.n as f64 + theirs_sd * theirs_sd / theirs.n as f64).sqrt()
            }
            (Kind::Share, Kind::Share | Kind::Paired { .. }) => {
                let (low, high) = if self.lower_is_better { (theirs, ours) } else { (ours, theirs) };
                (low.value - low.interval().0).hypot(high.interval().1 - high.value)
            }
            (Kind::Mean { .. }, _) | (Kind::Share, Kind::Mean { .. }) => return None,
        };
        Some(spread - difference)
    }

    fn sample(&self, metrics: &Map<String, Value>, whose: &str) -> Result<Sample, String> {
        let number = |name: &str| metrics.get(name).and_then(Value::as_f64).filter(|number| number.is_finite());
        let name = &self.metric;
        let value = number(name).ok_or_else(|| format!("`{whose}.{name}` is missing or no finite number"))?;
        let n = metrics.get("n").and_then(Value::as_u64).filter(|n| *n > 0);
        let n = n.ok_or_else(|| format!("`{whose}.n`, how many samples were evaluated, is missing"))?;
        let pair = number(&format!("{name}_gained")).zip(number(&format!("{name}_lost")));
        let kind = match (pair, number(&format!("{name}_sd"))) {
            (Some((gained, lost)), _) if gained >= 0.0 && lost >= 0.0 && gained + lost <= n as f64 => {
                Kind::Paired { gained, lost }
            }
            (Some(_), _) => return Err(format!("`{whose}.{name}_gained` and `_lost` are no counts of `n` samples")),
            (None, Some(sd)) if sd >= 0.0 => Kind::Mean { sd },
            (None, Some(_)) => return Err(format!("`{whose}.{name}_sd` is negative")),
            (None, None) if (0.0..=1.0).contains(&value) => Kind::Share,
            (None, None) => return Err(format!("`{whose}.{name}` is no share, and `{name}_sd` is missing")),
        };
        Ok(Sample { value, n, kind })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Share,
    Mean { sd: f64 },
    Paired { gained: f64, lost: f64 },
}

struct Sample {
    value: f64,
    n: u64,
    kind: Kind,
}

impl Sample {
    fn interval(&self) -> (f64, f64) {
        let found = wilson((self.value * self.n as f64).round() as u64, self.n, Z);
        (found.low, found.high)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(gate: &str, ours: Value, theirs: Option<Value>) -> Answer {
        let map = |value: Value| value.as_object().unwrap().clone();
        NotWorse::parse(gate).unwrap().ask(&map(ours), theirs.map(map).as_ref())
    }

    #[test]
    fn a_share_is_compared_by_how_many_samples_there_are() {
        let share = |accuracy: f64, n: u64| json!({ "accuracy": accuracy, "n": n });
        let gate = "accuracy within 0.01";
        assert!(ask(gate, share(0.95, 10_000), Some(share(0.95, 10_000))).passed);
        assert!(!ask(gate, share(0.95, 300), Some(share(0.95, 300))).passed, "300 samples cannot tell");
        assert!(!ask(gate, share(0.93, 10_000), Some(share(0.95, 10_000))).passed);
        assert!(ask(gate, share(0.99, 300), Some(share(0.95, 300))).passed, "better by more than the noise");
        assert!(ask(gate, share(0.1, 300), None).passed, "nothing to be worse than");
    }

    /// Newcombe 1998, table II, a: 56 of 70 against 48 of 80; 95 % two-sided: 0.0524 to 0.3339.
    #[test]
    fn the_interval_is_the_published_one() {
        let (ours, theirs) = (wilson(56, 70, 1.959_964), wilson(48, 80, 1.959_964));
        let low = 0.2 - (0.8 - ours.low).hypot(theirs.high - 0.6);
        assert!((low - 0.0524).abs() < 5e-5, "{low}");
    }

    #[test]
    fn means_need_their_deviation_and_pairs_need_fewer_samples() {
        let mean = |loss: f64| json!({ "loss": loss, "loss_sd": 1.0, "n": 10_000 });
        assert!(ask("loss within 0.05 lower", mean(1.52), Some(mean(1.50))).passed);
        assert!(!ask("loss within 0.05 lower", mean(1.54), Some(mean(1.50))).passed);
        assert!(ask("loss within 0.05 lower", mean(1.3), Some(mean(1.50))).passed);
        let champion = json!({ "accuracy": 0.95, "n": 1000 });
        let paired = json!({ "accuracy": 0.95, "n": 1000, "accuracy_gained": 10, "accuracy_lost": 10 });
        assert!(ask("accuracy within 0.01", paired, Some(champion.clone())).passed);
        let unpaired = json!({ "accuracy": 0.95, "n": 1000 });
        assert!(!ask("accuracy within 0.01", unpaired, Some(champion)).passed);
    }

    #[test]
    fn what_is_missing_never_passes() {
        let champion = json!({ "accuracy": 0.1, "n": 100 });
        for ours in [
            json!({}),
            json!({ "accuracy": 0.9 }),
            json!({ "accuracy": "nan", "n": 100 }),
            json!({ "accuracy": 7.0, "n": 9 }),
        ] {
            assert!(!ask("accuracy within 0.5", ours, Some(champion.clone())).passed);
        }
        for text in ["accuracy", "accuracy within", "accuracy within -1", "accuracy within nan", "a within 1 higher"] {
            assert_eq!(NotWorse::parse(text), None, "{text}");
        }
    }
}
