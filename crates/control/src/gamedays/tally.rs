//! Requests of a route by class, from the gateway's own counters.

use mainstay_core::chaos::gameday::facts::Tally;
use mainstay_core::metric::{Family, Value};

/// Requests by class, answering level and status code.
const REQUESTS: &str = "mainstay_requests";

/// What was counted of a route so far. Unanswered are 429 and 5xx; time-outs and broken answers have such codes as well.
pub(super) fn of(families: &[Family], route: &str) -> Tally {
    let mut tally = Tally::default();
    for sample in families.iter().filter(|it| it.name == REQUESTS).flat_map(|it| &it.samples) {
        let label = |name: &str| sample.labels.iter().find(|(of, _)| *of == name).map_or("", |(_, value)| value);
        let class = label("class").parse::<usize>().ok().filter(|class| *class < tally.requests.len());
        let (Some(class), Value::Count(count)) = (class, &sample.value) else { continue };
        if label("route") != route {
            continue;
        }
        tally.requests[class] += count;
        let code = label("code");
        if code == "429" || code.starts_with('5') {
            tally.unanswered[class] += count;
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use mainstay_core::metric::{Kind, Sample};

    use super::*;

    #[test]
    fn only_the_routes_own_requests_count() {
        let sample = |route: &str, class: &str, code: &str, count| Sample {
            labels: vec![
                ("route", route.to_owned()),
                ("class", class.to_owned()),
                ("level", "0".to_owned()),
                ("code", code.to_owned()),
            ],
            value: Value::Count(count),
        };
        let samples = vec![
            sample("score", "0", "200", 10),
            sample("score", "0", "503", 2),
            sample("score", "1", "429", 3),
            sample("score", "1", "400", 4),
            sample("score", "7", "200", 5),
            sample("chat", "0", "504", 6),
        ];
        let family = |name, samples| Family { name, help: "", kind: Kind::Counter, samples };
        let families = [family(REQUESTS, samples), family("other", vec![sample("score", "0", "500", 7)])];
        let tally = of(&families, "score");
        assert_eq!((tally.requests, tally.unanswered), ([12, 7, 0, 0], [2, 3, 0, 0]));
    }
}
