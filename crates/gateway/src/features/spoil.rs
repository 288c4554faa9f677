//! Faults in what a feature store gives: older values, and values that are not what they should be.

use std::time::Duration;

use mainstay_core::chaos::fault::{Change, Spoiled};
use mainstay_core::time::Time;
use serde_json::Value;

use super::feast::{Cell, Status};

/// A number beyond any that occurs.
const OUT_OF_RANGE: f64 = 1e9;

/// What becomes of a store's answer on purpose.
#[derive(Clone, Copy, Debug)]
pub enum Spoil<'a> {
    /// Its values came to be so much earlier.
    Older(Duration),
    /// Its values are changed.
    Changed(&'a Spoiled),
}

impl Spoil<'_> {
    /// Changes a row, whose cells are in the order of `refs`.
    pub(super) fn apply(self, cells: &mut [Cell], refs: &[String], now: Time) {
        match self {
            // A store that tells no times is taken to have told this moment's.
            Spoil::Older(age) => cells.iter_mut().for_each(|cell| cell.event = Some(cell.event.unwrap_or(now) - age)),
            Spoil::Changed(spoiled) => {
                let is_chosen = |name: &String| spoiled.refs.is_empty() || spoiled.refs.contains(name);
                let chosen: Vec<usize> = (0..cells.len()).filter(|at| refs.get(*at).is_some_and(is_chosen)).collect();
                change(cells, &chosen, spoiled.change);
            }
        }
    }
}

fn change(cells: &mut [Cell], chosen: &[usize], change: Change) {
    match change {
        Change::Missing => {
            for at in chosen {
                cells[*at] = Cell { status: Status::NotFound, value: None, event: None };
            }
        }
        Change::Shifted(by) => numbers(cells, chosen, |number| number + by),
        Change::Scaled(by) => numbers(cells, chosen, |number| number * by),
        Change::OutOfRange => numbers(cells, chosen, |_| OUT_OF_RANGE),
        Change::Swapped => {
            let before: Vec<Cell> = chosen.iter().map(|at| cells[*at].clone()).collect();
            for (cell, to) in before.into_iter().zip(chosen.iter().cycle().skip(1)) {
                cells[*to] = cell;
            }
        }
    }
}

/// Changes the numbers among the values. A whole number stays one where it can.
fn numbers(cells: &mut [Cell], chosen: &[usize], change: impl Fn(f64) -> f64) {
    for at in chosen {
        let Some(Value::Number(number)) = &cells[*at].value else { continue };
        let Some(changed) = number.as_f64().map(&change) else { continue };
        let whole = !number.is_f64() && changed.fract() == 0.0 && changed.abs() < 9e15;
        let changed = if whole { Some((changed as i64).into()) } else { serde_json::Number::from_f64(changed) };
        cells[*at].value = changed.map(Value::Number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(values: &[Value]) -> Vec<Cell> {
        let cell = |value: &Value| Cell { status: Status::Present, value: Some(value.clone()), event: None };
        values.iter().map(cell).collect()
    }

    fn changed(change: Change, refs: &[&str], values: &[Value]) -> Vec<Option<Value>> {
        let all = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let spoiled = Spoiled { change, refs: refs.iter().map(|&name| name.to_owned()).collect() };
        let mut cells = cells(values);
        Spoil::Changed(&spoiled).apply(&mut cells, &all, Time::ZERO);
        cells.into_iter().map(|cell| cell.value).collect()
    }

    fn json(text: &str) -> Vec<Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn only_the_chosen_values_change_and_whole_numbers_stay_whole() {
        let values = json(r#"[1, 2.5, "x"]"#);
        let some = |text: &str| json(text).into_iter().map(Some).collect::<Vec<_>>();
        assert_eq!(changed(Change::Shifted(2.0), &[], &values), some(r#"[3, 4.5, "x"]"#));
        assert_eq!(changed(Change::Shifted(0.5), &["a"], &values), some(r#"[1.5, 2.5, "x"]"#));
        assert_eq!(changed(Change::Scaled(1000.0), &["b"], &values), some(r#"[1, 2500.0, "x"]"#));
        assert_eq!(changed(Change::OutOfRange, &["a", "c"], &values), some(r#"[1000000000, 2.5, "x"]"#));
        assert_eq!(changed(Change::Missing, &["b"], &values), [Some(values[0].clone()), None, Some(values[2].clone())]);
    }

    #[test]
    fn to_swap_moves_each_value_to_the_next_of_those_chosen() {
        let values = json("[1, 2, 3]");
        let some = |text: &str| json(text).into_iter().map(Some).collect::<Vec<_>>();
        assert_eq!(changed(Change::Swapped, &[], &values), some("[3, 1, 2]"));
        assert_eq!(changed(Change::Swapped, &["a", "c"], &values), some("[3, 2, 1]"));
    }

    #[test]
    fn older_values_are_older_by_so_much_and_those_without_a_time_get_one() {
        let mut cells = cells(&json("[1, 2]"));
        cells[0].event = Some(Time::from_secs(900));
        Spoil::Older(Duration::from_secs(100)).apply(&mut cells, &[], Time::from_secs(1_000));
        assert_eq!([cells[0].event, cells[1].event], [Some(Time::from_secs(800)), Some(Time::from_secs(900))]);
    }
}
