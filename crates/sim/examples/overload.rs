//! All limits in all drills of overload, in virtual time: a JSON object per measured span, and one per curve.
//!
//! `cargo xtask bench overload` runs it and prints the table.

#![expect(clippy::disallowed_methods, reason = "drills are files, and a bench has two threads")]
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_core::drill::Drill;
use mainstay_core::resilience::limiter::Config;
use mainstay_sim::{Anchor, Run};
use serde_json::json;

/// Drills of servers, and of a language model.
const WEB: [&str; 5] = ["a1-steady-overload", "a2-sudden-overload", "a3-brown-out", "a4-calm", "p1-priority"];
const LANGUAGE: [&str; 2] = ["b1-language-model", "b2-long-prompts"];

/// A limit by name; `None` is the whole of mainstay as the drill's config has it.
type Named = (&'static str, Option<Anchor>);

fn limits(language: bool) -> Vec<Named> {
    let (best, own, name) = if language {
        (72, Config::Ttft { target: std::time::Duration::from_secs(1) }, "mainstay's `ttft` alone")
    } else {
        (40, Config::KNEE, "mainstay's `knee` alone")
    };
    // What 32 servers or a full batch carry, and what is a good time for an answer.
    let (capacity, threshold_s) = if language { (7.7, 15.0) } else { (640.0, 0.15) };
    let (base, max_qps) = (f64::from(best), 0.9 * capacity);
    let mut all = vec![
        ("mainstay", None),
        (name, Some(Anchor::Own(own))),
        (if language { "hand-set, 72" } else { "hand-set, 40" }, Some(Anchor::Fixed(best))),
        ("Netflix Gradient2, windows of 1 s", Some(Anchor::Gradient2 { windowed: true })),
        ("Netflix Gradient2, each sample", Some(Anchor::Gradient2 { windowed: false })),
        ("Netflix Vegas", Some(Anchor::Vegas)),
        ("Netflix AIMD, 5 s", Some(Anchor::Aimd { timeout_s: 5.0 })),
        ("Envoy gradient, p50", Some(Anchor::Envoy { quantile: 0.5 })),
        ("Envoy gradient, p90", Some(Anchor::Envoy { quantile: 0.9 })),
        ("failsafe-go", Some(Anchor::Failsafe)),
        ("mission's limiter, base set by hand", Some(Anchor::MissionLimiter { base, threshold_s })),
        ("mission's shedder, 0.9 of capacity", Some(Anchor::MissionShedder { max_qps })),
        ("mission's both", Some(Anchor::MissionBoth { max_qps, base, threshold_s })),
        ("none", Some(Anchor::None)),
    ];
    if !language {
        all.insert(7, ("Netflix AIMD, hand-set to 0.2 s", Some(Anchor::Aimd { timeout_s: 0.2 })));
    }
    all
}

fn read(name: &str) -> Drill {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/drills").join(format!("{name}.md"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (drill, findings) = mainstay_config::drill(&text, &mut |_| Err("the config stands in the drill".to_owned()));
    drill.unwrap_or_else(|| panic!("{}", mainstay_config::render(&findings, name, &text, false)))
}

fn main() {
    let seeds: u64 = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(3);
    let web = WEB.iter().map(|name| (*name, false));
    let language = LANGUAGE.iter().map(|name| (*name, true));
    let mut jobs = Vec::new();
    for (name, is_language) in web.chain(language) {
        for limit in limits(is_language) {
            jobs.extend((1..=seeds).map(|seed| (name, limit, seed)));
        }
    }
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((name, (limit, anchor), seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let drill = read(name);
            tell(name, limit, &mainstay_sim::run_with(&drill, *seed, *anchor));
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
}

fn tell(drill: &str, limit: &str, run: &Run) {
    for verdict in &run.verdicts {
        let told = json!({
            "drill": drill, "limit": limit, "seed": run.seed, "span": verdict.name, "facts": verdict.facts,
        });
        println!("{told}");
    }
    if run.seed == 1 {
        let good = run.curves.iter().filter(|curve| curve.name.starts_with("good answers"));
        let mut points: Vec<(f64, f64)> = Vec::new();
        for curve in good {
            points.resize(curve.points.len(), (0.0, 0.0));
            points.iter_mut().zip(&curve.points).for_each(|(sum, (at, value))| *sum = (*at, sum.1 + value));
        }
        println!("{}", json!({ "drill": drill, "limit": limit, "curve": points }));
    }
}
