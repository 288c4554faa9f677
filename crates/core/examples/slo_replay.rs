//! Plays counted events into the engine and tells what is left of the budget and how fast it burns.
//!
//! `slo_replay TARGET WINDOW_S NOW_S < events`, a line of `seconds good bad` for each stretch of events; one JSON object out.

use std::error::Error;
use std::io::BufRead as _;
use std::time::Duration;

use mainstay_core::engine::Engine;
use mainstay_core::slo::objective::{Kind, Objective};
use mainstay_core::slo::series::Counts;
use mainstay_core::slo::window::Window;
use mainstay_core::time::Time;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, window, now] = arguments.as_slice() else {
        return Err("usage: slo_replay TARGET WINDOW_S NOW_S".into());
    };
    let kind = Kind::availability(target.parse()?).ok_or("a target is above 0 and below 1")?;
    let window = Window::Rolling(Duration::from_secs(window.parse()?));
    let objective = Objective { window, ..Objective::new("replay", kind) };
    let name = objective.name.clone();
    let mut engine = Engine::new(vec![objective], Time::ZERO);
    let id = engine.id(&name).ok_or("the objective is there")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let numbers: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [at, good, bad] = numbers.as_slice() else { return Err(format!("not three numbers: {line}").into()) };
        let at = Time::from_secs(*at);
        engine.handle_counts(id, at, Counts { good: *good, bad: *bad }, at);
    }
    let answer = engine.answer(id, Time::from_secs(now.parse()?));
    let burn: Vec<String> =
        answer.burn.iter().filter_map(|burn| Some(format!("\"{}\":{}", burn.window.as_secs(), burn.rate?))).collect();
    println!(
        "{{\"remaining\":{},\"good\":{},\"bad\":{},\"burn\":{{{}}}}}",
        answer.budget.remaining,
        answer.counts.good,
        answer.counts.bad,
        burn.join(",")
    );
    Ok(())
}
