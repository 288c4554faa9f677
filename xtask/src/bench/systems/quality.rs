//! How good the answers of a level are, measured by what is known to be right.

use serde_json::Value;

use super::Judged;
use super::field::Answered;

/// How many places of an order count.
const PLACES: usize = 10;

/// One measure.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) unit: Unit,
}

/// How a measure is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Plain,
    Percent,
}

pub(super) fn of_recommendation(judged: &[Judged], answers: &[Answered], _: &[Answered]) -> Vec<Figure> {
    vec![Figure { name: "NDCG@10", value: ranking(judged, answers, "items"), unit: Unit::Plain }]
}

pub(super) fn of_search(judged: &[Judged], answers: &[Answered], _: &[Answered]) -> Vec<Figure> {
    vec![Figure { name: "NDCG@10", value: ranking(judged, answers, "articles"), unit: Unit::Plain }]
}

pub(super) fn of_moderation(judged: &[Judged], answers: &[Answered], _: &[Answered]) -> Vec<Figure> {
    let harmful = |judged: &Judged| judged.truth["harmful"] == true;
    let share = |of: &dyn Fn(&Judged) -> bool, is: &dyn Fn(&str) -> bool| share_of(judged, answers, of, is);
    vec![
        percent("harmful kept out", share(&harmful, &|decision| decision != "allow")),
        percent("harmless blocked", share(&|judged| !harmful(judged), &|decision| decision == "block")),
        percent("held for a person", share(&|_| true, &|decision| decision == "review")),
    ]
}

pub(super) fn of_fraud(judged: &[Judged], answers: &[Answered], _: &[Answered]) -> Vec<Figure> {
    let fraud = |judged: &Judged| judged.truth["fraud"] == true;
    let share = |of: &dyn Fn(&Judged) -> bool, is: &dyn Fn(&str) -> bool| share_of(judged, answers, of, is);
    vec![
        percent("fraud caught", share(&fraud, &|decision| decision != "approve")),
        percent("honest declined", share(&|judged| !fraud(judged), &|decision| decision == "decline")),
        percent("held for a person", share(&|_| true, &|decision| decision == "review")),
    ]
}

pub(super) fn of_chat(judged: &[Judged], answers: &[Answered], first: &[Answered]) -> Vec<Figure> {
    let content =
        |answer: &Answered| answer.body["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
    let right = |(judged, answer): &(&Judged, &Answered)| {
        content(answer).contains(judged.truth["expected"].as_str().unwrap_or("no answer"))
    };
    let rights = judged.iter().zip(answers).filter(right).count();
    let seen = |answers: &[Answered]| {
        let of_models = answers.iter().filter(|answer| answer.level <= 2);
        of_models.filter_map(|answer| answer.body["usage"]["prompt_tokens"].as_u64()).sum::<u64>() as f64
    };
    vec![
        percent("answered right", rights as f64 / judged.len().max(1) as f64),
        percent("of the conversation given to a model", seen(answers) / seen(first).max(1.0)),
    ]
}

fn percent(name: &'static str, value: f64) -> Figure {
    Figure { name, value, unit: Unit::Percent }
}

/// Of the requests that `of` picks, the share whose decision `is` so.
fn share_of(judged: &[Judged], answers: &[Answered], of: &dyn Fn(&Judged) -> bool, is: &dyn Fn(&str) -> bool) -> f64 {
    let picked: Vec<&Answered> = judged.iter().zip(answers).filter(|(judged, _)| of(judged)).map(|(_, a)| a).collect();
    let counted = picked.iter().filter(|answer| is(decision(&answer.body))).count();
    counted as f64 / picked.len().max(1) as f64
}

/// The data of an output.
fn output<'a>(body: &'a Value, name: &str) -> Option<&'a Vec<Value>> {
    let outputs = body["outputs"].as_array()?;
    outputs.iter().find(|output| output["name"] == name)?["data"].as_array()
}

/// The decision of a body; an answer that cannot be read lets nothing pass and nothing be caught.
fn decision(body: &Value) -> &str {
    output(body, "decision").and_then(|data| data.first()).and_then(Value::as_str).unwrap_or_default()
}

/// The mean of the normalised discounted gain of the first ten (Järvelin, Kekäläinen 2002; gains 2^grade - 1), over
/// requests that have anything of worth.
fn ranking(judged: &[Judged], answers: &[Answered], name: &str) -> f64 {
    let each: Vec<f64> = judged.iter().zip(answers).filter_map(|(judged, answer)| ndcg(judged, answer, name)).collect();
    each.iter().sum::<f64>() / each.len().max(1) as f64
}

fn ndcg(judged: &Judged, answer: &Answered, name: &str) -> Option<f64> {
    let items = judged.truth["request"]["inputs"][0]["data"].as_array()?;
    let grades: Vec<f64> = judged.truth["grades"].as_array()?.iter().filter_map(Value::as_f64).collect();
    let grade = |item: &Value| items.iter().position(|known| known == item).map_or(0.0, |at| grades[at]);
    let mut best = grades.clone();
    best.sort_by(|a, b| b.total_cmp(a));
    let ideal = gain(best.into_iter());
    let given = output(&answer.body, name).map_or(0.0, |order| gain(order.iter().map(grade)));
    (ideal > 0.0).then(|| given / ideal)
}

fn gain(grades: impl Iterator<Item = f64>) -> f64 {
    grades.take(PLACES).enumerate().map(|(place, grade)| (grade.exp2() - 1.0) / (place as f64 + 2.0).log2()).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn case(grades: &Value, order: &Value) -> (Judged, Answered) {
        let request = json!({ "inputs": [{ "name": "candidates", "data": ["a", "b", "c"] }] });
        let judged = Judged { body: String::new(), truth: json!({ "request": request, "grades": grades }) };
        let body = json!({ "outputs": [{ "name": "items", "data": order }] });
        (judged, Answered { level: 0, latency: Duration::ZERO, body })
    }

    #[test]
    fn the_best_order_is_one_and_what_was_not_asked_for_is_worth_nothing() {
        let (judged, best) = case(&json!([0, 1, 3]), &json!(["c", "b", "a"]));
        assert_eq!(ndcg(&judged, &best, "items"), Some(1.0));
        let (judged, other) = case(&json!([0, 1, 3]), &json!(["x", "c", "b"]));
        let by_hand = (7.0 / 3.0_f64.log2() + 1.0 / 2.0) / (7.0 + 1.0 / 3.0_f64.log2());
        assert!((ndcg(&judged, &other, "items").unwrap() - by_hand).abs() < 1e-12);
        let (judged, any) = case(&json!([0, 0, 0]), &json!(["a"]));
        assert_eq!(ndcg(&judged, &any, "items"), None);
    }

    #[test]
    fn shares_count_what_they_say() {
        let judged: Vec<Judged> =
            [true, true, false].map(|fraud| Judged { body: String::new(), truth: json!({ "fraud": fraud }) }).into();
        let answers: Vec<Answered> = ["approve", "review", "decline"]
            .map(|decision| Answered {
                level: 0,
                latency: Duration::ZERO,
                body: json!({ "outputs": [{ "name": "decision", "data": [decision] }] }),
            })
            .into();
        let figures: Vec<f64> = of_fraud(&judged, &answers, &answers).iter().map(|figure| figure.value).collect();
        assert_eq!(figures, [0.5, 1.0, 1.0 / 3.0]);
    }
}
