//! The limits of other projects behave in the simulator as they are known to.

#![expect(clippy::disallowed_methods, reason = "drills are files")]

use mainstay_core::drill::Drill;
use mainstay_sim::Anchor;

fn drill(name: &str) -> Drill {
    let path = format!("{}/../../docs/drills/{name}.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("it can be read");
    mainstay_config::drill(&text, &mut |_| Err("the config stands in the drill".to_owned()))
        .0
        .expect("a drill without errors")
}

#[test]
fn a_sudden_overload_shows_what_each_limit_is_worth() {
    let drill = drill("a2-sudden-overload");
    let goodput = |anchor| {
        let run = mainstay_sim::run_with(&drill, 1, Some(anchor));
        run.verdicts[0].facts["goodput"].as_f64().unwrap()
    };
    let cases = [
        (Anchor::None, 0.0..0.1),
        (Anchor::Fixed(40), 0.98..1.0),
        (Anchor::Gradient2 { windowed: true }, 0.97..1.0),
        // Each sample may be the least latency: the limit collapses.
        (Anchor::Vegas, 0.15..0.35),
        // The first second of the jump is let in at the rate that is called full, and all of it waits too long.
        (Anchor::MissionShedder { max_qps: 640.0 }, 0.0..0.1),
        (Anchor::Own(mainstay_core::resilience::limiter::Config::KNEE), 0.96..1.0),
    ];
    for (anchor, wanted) in cases {
        let measured = goodput(anchor);
        assert!(wanted.contains(&measured), "{anchor:?}: {measured}");
    }
}

#[test]
fn an_anchor_is_in_charge_alone() {
    let drill = drill("c1-outage");
    let with = mainstay_sim::run_with(&drill, 1, Some(Anchor::Fixed(200)));
    assert_eq!(with.verdicts[0].facts["opened"].as_f64(), Some(0.0), "its breaker only watches");
    assert!(mainstay_sim::run(&drill, 1).verdicts[0].facts["opened"].as_f64() > Some(0.0));
}
