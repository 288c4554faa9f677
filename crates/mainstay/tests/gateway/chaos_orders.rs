//! Orders of experiments: whom they touch, how many, for how long, and who does not learn of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mainstay_core::chaos::experiment::{Caps, Cohort, Traffic, Unit};
use mainstay_core::chaos::order::{Arm, Blocks, Order};
use mainstay_core::route::Class;
use mainstay_core::stats::binomial;

use crate::support::experiment::{TOUCHED, beats, order, summed};
use crate::support::{Answer, Caller, Plane, Upstream, ask, fill, infer, post, soon, until};

const CONFIG: &str = r#"
trust: { headers: [x-user] }
limits: { workers: 2 }
observability: { sample: { log: 100%, reservoir: 1000 } }
backends:
  primary:
    url: 'http://$primary'
    protocol: open-inference
    model: fraud
    limit: none
    breaker: { consecutive: 10000, min_calls: 1000000 }
    retry: { attempts: 1 }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    priority: [{ class: 1, when: 'header("x-user") != ""' }]
    prediction: { pointer: /outputs/0/data/0, task: binary, threshold: 0.5 }
    hysteresis: { window: 1h, down: 1000, up: 1s }
    ladder:
      - { level: 0, backend: primary }
      - { level: 1, cache: { max_age: 5m, single_flight: true } }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
drift: { rate: 100000/s, names: { score: { route: score, of: prediction } } }
labels: { share: 100% }
"#;

async fn bench() -> (Upstream, Plane) {
    let primary = Upstream::predicting("fraud", 0.75).await;
    let plane = Plane::start(&fill(CONFIG, &[("primary", &primary.addr)]));
    (primary, plane)
}

const FAILS: &str = r#"{"model_error":{}}"#;

/// Asks something that nobody asked before.
async fn asks(caller: &mut Caller, id: usize, headers: &[(&str, &str)]) -> Answer {
    let id = format!("r-{id}");
    let mut all = vec![("x-request-id", id.as_str())];
    all.extend_from_slice(headers);
    let body = format!(r#"{{"inputs":[{{"name":"{id}","shape":[1,1],"datatype":"FP64","data":[1.5]}}]}}"#);
    caller.ask(post("/v2/models/fraud/infer", &all, body)).await
}

fn is_touched(answer: &Answer) -> bool {
    match answer.header(TOUCHED) {
        "" => false,
        run => {
            assert_eq!(run, "EXP-2026-0001");
            true
        }
    }
}

#[tokio::test]
async fn a_dose_of_ten_percent_touches_ten_percent_and_both_arms_are_counted_alike() {
    let (primary, plane) = bench().await;
    let cohort = Cohort { share: 0.4, ..Cohort::default() };
    plane.gateway.inject(Order { dose: 0.1, cohort, ..order(FAILS) }).unwrap();
    let n = 3_000;
    let mut caller = Caller::connect(plane.addr()).await;
    let mut touched = 0;
    for id in 0..n {
        let answer = asks(&mut caller, id, &[]).await;
        assert_eq!(
            answer.header("x-mainstay-level") == "4",
            is_touched(&answer),
            "who is not touched is answered well"
        );
        touched += u64::from(is_touched(&answer));
    }
    // By definition of the order, without the injector.
    let same = order(FAILS);
    let same = Order { dose: 0.1, cohort: Cohort { share: 0.4, ..Cohort::default() }, ..same };
    let key = |id: usize| mainstay_core::chaos::order::hash(format!("r-{id}").as_bytes());
    let in_arm = |arm| (0..n).filter(|id| same.arm(key(*id)) == Some(arm)).count() as u64;
    let counted = beats(&plane, in_arm(Arm::Control) + in_arm(Arm::Experiment)).await;
    assert!(counted.iter().all(|beat| beat.stands && beat.injects && beat.generation == 1 && beat.spared == 0));
    let [control, experiment] = summed(&counted);
    assert_eq!((control.requests, control.injected, control.dosed), (in_arm(Arm::Control), 0, 0));
    assert_eq!(
        (experiment.requests, experiment.injected, experiment.dosed),
        (in_arm(Arm::Experiment), touched, touched)
    );
    let share = |hits, of| (binomial::lower(hits, of, 0.9999), binomial::upper(hits, of, 0.9999));
    let (low, high) = share(touched, experiment.requests);
    assert!(low < 0.1 && 0.1 < high, "{touched} of {}", experiment.requests);
    let (low, high) = share(experiment.requests, n as u64);
    assert!(low < 0.4 && 0.4 < high, "{} of {n}", experiment.requests);
    assert_eq!((control.levels[0], control.levels[4], control.unanswered), (control.requests, 0, 0));
    assert_eq!(
        (experiment.levels[4], experiment.injected_levels[4], experiment.injected_levels[0]),
        (touched, touched, 0)
    );
    assert_eq!((control.latency.count(), experiment.latency.count()), (control.requests, experiment.requests));
    assert_eq!(primary.count() as u64, n as u64 - touched);
    plane.counted("mainstay_faults_injected", &[("fault", "model_error"), ("route", "score")], touched as u32).await;
    plane.close().await;
}

#[tokio::test]
async fn both_arms_are_watched_before_and_the_injecting_order_takes_over() {
    let (_primary, plane) = bench().await;
    plane.gateway.inject(Order { injects: false, ..order(FAILS) }).unwrap();
    let mut caller = Caller::connect(plane.addr()).await;
    for id in 0..20 {
        let answer = asks(&mut caller, id, &[]).await;
        assert_eq!((answer.header("x-mainstay-level"), is_touched(&answer)), ("0", false));
    }
    let watched = beats(&plane, 20).await;
    assert!(watched.iter().all(|beat| beat.stands && !beat.injects));
    assert_eq!(summed(&watched)[1].injected, 0);
    plane.gateway.inject(Order { generation: 2, ..order(FAILS) }).unwrap();
    assert!(is_touched(&asks(&mut caller, 20, &[]).await));
    let after = beats(&plane, 1).await;
    // The first order's end is told once.
    assert_eq!(after.iter().filter(|beat| beat.generation == 1 && !beat.stands).count(), 1);
    assert!(plane.gateway.renew_fault("EXP-2026-0001", 1).is_err(), "the earlier generation is gone");
    assert_eq!(plane.gateway.take_beats().len(), 1);
    plane.close().await;
}

#[tokio::test]
async fn caps_hold_and_who_is_beyond_them_is_spared() {
    let (_primary, plane) = bench().await;
    plane.gateway.inject(Order { caps: Caps { concurrent: 64, total: 7 }, ..order(FAILS) }).unwrap();
    let mut caller = Caller::connect(plane.addr()).await;
    let mut touched = 0;
    for id in 0..30 {
        touched += u32::from(is_touched(&asks(&mut caller, id, &[]).await));
    }
    assert_eq!(touched, 7);
    let counted = beats(&plane, 30).await;
    let arm = &summed(&counted)[1];
    assert_eq!((arm.injected, arm.dosed, counted.iter().map(|beat| beat.spared).sum::<u64>()), (7, 30, 23));
    plane.counted("mainstay_faults_spared", &[("fault", "model_error"), ("route", "score")], 23).await;

    // Three at the same time, and a place is given back when its request has ended.
    let caps = Caps { concurrent: 3, total: 1_000 };
    let slow = r#"{"model_latency":{"fixed":"10m"}}"#;
    plane.gateway.inject(Order { generation: 2, caps, ..order(slow) }).unwrap();
    let delayed: Vec<_> = (100..103)
        .map(|id| {
            let addr = plane.addr();
            tokio::spawn(async move { asks(&mut Caller::connect(addr).await, id, &[]).await })
        })
        .collect();
    plane.backend_is("primary", "three calls under way", |b| b.in_flight == 3).await;
    assert!(!is_touched(&asks(&mut caller, 103, &[]).await));
    delayed[0].abort();
    plane.backend_is("primary", "two calls under way", |b| b.in_flight == 2).await;
    let addr = plane.addr();
    let next = tokio::spawn(async move { asks(&mut Caller::connect(addr).await, 104, &[]).await });
    plane.backend_is("primary", "three calls under way again", |b| b.in_flight == 3).await;
    plane.gateway.withdraw_fault("EXP-2026-0001", 2);
    for task in delayed.into_iter().skip(1).chain([next]) {
        assert!(is_touched(&soon("an answer", task).await.unwrap()));
    }
    plane.close().await;
}

#[tokio::test]
async fn a_fault_is_gone_when_nobody_asks_for_it_any_more() {
    let (_primary, plane) = bench().await;
    let ttl = Duration::from_millis(600);
    let given = Instant::now();
    plane.gateway.inject(Order { ttl, ..order(FAILS) }).unwrap();
    let mut caller = Caller::connect(plane.addr()).await;
    assert!(is_touched(&asks(&mut caller, 0, &[]).await) || given.elapsed() > ttl);
    let mut renewed = Instant::now();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let before = Instant::now();
        match plane.gateway.renew_fault("EXP-2026-0001", 1) {
            Ok(()) => renewed = before,
            // On a machine that stood still for so long, it is right that it ended.
            Err(_) => assert!(renewed.elapsed() >= ttl),
        }
    }
    // No traffic: it is told all the same.
    until("its end", || plane.gateway.take_beats().iter().any(|beat| !beat.stands).then_some(())).await;
    assert!(renewed.elapsed() >= ttl);
    assert!(!is_touched(&asks(&mut caller, 1, &[]).await));
    let over = plane.gateway.renew_fault("EXP-2026-0001", 1).expect_err("it ended").to_string();
    assert_eq!(over, "the order is not in force, and does not come back");
    assert!(plane.gateway.inject(order(FAILS)).is_err(), "its generation was seen");
    assert!(!is_touched(&asks(&mut caller, 2, &[]).await));

    let hard_stop = Duration::from_millis(300);
    plane.gateway.inject(Order { generation: 2, hard_stop, ..order(FAILS) }).unwrap();
    let began = Instant::now();
    while plane.gateway.renew_fault("EXP-2026-0001", 2).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "renewals do not lift a hard stop");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!is_touched(&asks(&mut caller, 3, &[]).await));
    plane.close().await;
}

#[tokio::test]
async fn a_halt_ends_all_at_once_and_nothing_returns_by_itself() {
    let (_primary, plane) = bench().await;
    plane.gateway.inject(order(FAILS)).unwrap();
    let mut caller = Caller::connect(plane.addr()).await;
    assert!(is_touched(&asks(&mut caller, 0, &[]).await));
    plane.gateway.halt_faults(true);
    assert!(!is_touched(&asks(&mut caller, 1, &[]).await));
    let next = || Order { run: "EXP-2026-0002".to_owned(), ..order(FAILS) };
    assert_eq!(plane.gateway.inject(next()).expect_err("halted").to_string(), "experiments are halted");
    assert!(plane.gateway.renew_fault("EXP-2026-0001", 1).is_err());
    plane.gateway.halt_faults(false);
    assert!(!is_touched(&asks(&mut caller, 2, &[]).await));
    plane.gateway.inject(next()).unwrap();
    assert_eq!(asks(&mut caller, 3, &[]).await.header(TOUCHED), "EXP-2026-0002");
    plane.close().await;
}

#[tokio::test]
async fn a_reload_keeps_an_order_whose_route_and_target_are_the_same_and_ends_the_others() {
    let (primary, plane) = bench().await;
    plane.gateway.inject(order(FAILS)).unwrap();
    let mut caller = Caller::connect(plane.addr()).await;
    let config = fill(CONFIG, &[("primary", &primary.addr)]);
    // Another backend before it gives it another number.
    let beside =
        config.replace("  primary:\n", "  another: { url: 'http://127.0.0.1:9', protocol: http }\n  primary:\n");
    plane.reload(&beside).unwrap();
    assert!(is_touched(&asks(&mut caller, 0, &[]).await));
    plane.reload(&beside.replace("model: fraud", "model: fraud-2")).unwrap();
    assert!(!is_touched(&asks(&mut caller, 1, &[]).await));
    until("its end", || plane.gateway.take_beats().iter().any(|beat| !beat.stands).then_some(())).await;
    assert!(plane.gateway.renew_fault("EXP-2026-0001", 1).is_err());
    plane.gateway.inject(Order { generation: 2, ..order(FAILS) }).unwrap();
    plane
        .reload(
            &beside
                .replace("model: fraud", "model: fraud-2")
                .replace("name: score\n    path", "name: other\n    path")
                .replace("route: score", "route: other"),
        )
        .unwrap();
    assert!(!is_touched(&asks(&mut caller, 2, &[]).await));
    plane.close().await;
}

#[tokio::test]
async fn nobody_learns_from_a_touched_request() {
    let (primary, plane) = bench().await;
    // Touched and answered well by the model: only later.
    plane.gateway.inject(order(r#"{"model_latency":{"fixed":"300ms"}}"#)).unwrap();
    let same = || async { ask(plane.addr(), infer(&[])).await };
    let (first, second) = tokio::join!(same(), same());
    assert!(is_touched(&first) && is_touched(&second));
    assert_eq!((first.header("x-mainstay-level"), primary.count()), ("0", 2), "equal requests did not share a call");
    plane.gateway.inject(Order { generation: 2, ..order(FAILS) }).unwrap();
    assert_eq!(ask(plane.addr(), infer(&[])).await.header("x-mainstay-level"), "4", "no answer was kept");
    plane.gateway.withdraw_fault("EXP-2026-0001", 2);

    let untouched = ask(plane.addr(), infer(&[("x-request-id", "plain")])).await;
    assert_eq!((untouched.header("x-mainstay-level"), is_touched(&untouched)), ("0", false));
    plane.gateway.inject(Order { generation: 3, ..order(FAILS) }).unwrap();
    let kept = ask(plane.addr(), infer(&[])).await;
    assert_eq!((kept.header("x-mainstay-level"), is_touched(&kept)), ("1", true), "the untouched answer was kept");

    let mut seen = Vec::new();
    until("what monitors see", || {
        seen.extend(plane.gateway.take_observed().into_iter().flat_map(|(_, batch)| batch));
        (!seen.is_empty()).then_some(())
    })
    .await;
    assert_eq!(seen.iter().map(|o| &*o.request_id).collect::<Vec<_>>(), ["plain"]);
    let kept: Vec<_> = plane.gateway.kept(100).into_iter().map(|(_, request)| request.request_id).collect();
    assert_eq!(kept, ["plain"]);
    // Objectives do count them: real users were touched.
    plane.counted("mainstay_requests", &[("route", "score"), ("code", "200")], 5).await;
    plane.close().await;
}

#[tokio::test]
async fn who_went_away_before_an_answer_is_a_request_of_its_arm() {
    let (_primary, plane) = bench().await;
    plane.gateway.inject(order(r#"{"model_latency":{"fixed":"10m"}}"#)).unwrap();
    let addr = plane.addr();
    let asked = tokio::spawn(async move { asks(&mut Caller::connect(addr).await, 1, &[]).await });
    plane.backend_is("primary", "a call under way", |b| b.in_flight == 1).await;
    asked.abort();
    let [control, experiment] = summed(&beats(&plane, 1).await);
    assert_eq!((control.requests, experiment.requests, experiment.injected), (0, 1, 1));
    assert_eq!((experiment.unanswered, experiment.levels, experiment.latency.count()), (0, [0; 5], 1));
    plane.close().await;
}

#[tokio::test]
async fn a_config_may_keep_touched_requests_with_their_mark() {
    let primary = Upstream::predicting("fraud", 0.75).await;
    let config = fill(CONFIG, &[("primary", &primary.addr)]);
    let plane = Plane::start(&format!("{config}chaos: {{ keep_touched: true }}\n"));
    plane.gateway.inject(order(r#"{"model_latency":{"fixed":"1ms"}}"#)).unwrap();
    let answer = ask(plane.addr(), infer(&[("x-request-id", "touched")])).await;
    assert!(is_touched(&answer));
    let mut seen = Vec::new();
    until("what monitors see", || {
        seen.extend(plane.gateway.take_observed().into_iter().flat_map(|(_, batch)| batch));
        (!seen.is_empty()).then_some(())
    })
    .await;
    assert_eq!(&*seen[0].request_id, "touched");
    let kept = plane.gateway.kept(10).remove(0).1;
    assert_eq!((kept.request_id.as_str(), kept.experiment.as_deref()), ("touched", Some("EXP-2026-0001")));
    plane.close().await;
}

type Sent<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn only_the_cohort_is_touched() {
    let (_primary, plane) = bench().await;
    let mut caller = Caller::connect(plane.addr()).await;
    let all = Cohort { share: 1.0, ..Cohort::default() };
    let headers = BTreeMap::from([("x-tenant".to_owned(), "a".to_owned())]);
    let cohorts: [(Cohort, Sent<'_>, Sent<'_>); 3] = [
        (Cohort { headers, ..all.clone() }, &[("x-tenant", "a")], &[("x-tenant", "b")]),
        (Cohort { traffic: Traffic::Synthetic, ..all.clone() }, &[("x-mainstay-synthetic", "true")], &[]),
        (Cohort { classes: vec![Class::new(1).unwrap()], ..all.clone() }, &[("x-user", "u")], &[]),
    ];
    let mut id = 0;
    for (generation, (cohort, inside, outside)) in cohorts.into_iter().enumerate() {
        plane.gateway.inject(Order { generation: generation as u64 + 1, cohort, ..order(FAILS) }).unwrap();
        for (headers, touched) in [(inside, true), (outside, false)] {
            id += 1;
            assert_eq!(is_touched(&asks(&mut caller, id, headers).await), touched, "{headers:?}");
        }
    }
    // Whoever is in an arm stays in it.
    let cohort = Cohort { share: 0.5, by: Unit::Header("x-tenant".to_owned()), ..Cohort::default() };
    plane.gateway.inject(Order { generation: 9, cohort, ..order(FAILS) }).unwrap();
    let mut arms = [0, 0];
    for tenant in 0..24 {
        let tenant = format!("t-{tenant}");
        let mut touched = Vec::new();
        for _ in 0..4 {
            id += 1;
            touched.push(is_touched(&asks(&mut caller, id, &[("x-tenant", &tenant)]).await));
        }
        assert!(touched.iter().all(|t| *t == touched[0]), "{tenant}: {touched:?}");
        arms[usize::from(touched[0])] += 1;
    }
    assert!(arms[0] > 0 && arms[1] > 0, "{arms:?}");
    plane.close().await;
}

#[tokio::test]
async fn blocks_of_time_are_arms_and_what_one_leaves_behind_counts_for_none() {
    let (_primary, plane) = bench().await;
    let blocks = Blocks { length: Duration::from_millis(800), washout: Duration::from_millis(200) };
    plane.gateway.inject(Order { blocks: Some(blocks), ..order(FAILS) }).unwrap();
    let mut caller = Caller::connect(plane.addr()).await;
    let (mut seen, mut all, mut id) = ([false; 2], Vec::new(), 0);
    let began = Instant::now();
    // Both kinds of block, and both arms told of.
    while seen != [true; 2] || ![Arm::Control, Arm::Experiment].iter().all(|arm| summed(&all)[arm.index()].requests > 0)
    {
        assert!(began.elapsed() < Duration::from_secs(30), "{seen:?}");
        id += 1;
        seen[usize::from(is_touched(&asks(&mut caller, id, &[]).await))] = true;
        all.extend(plane.gateway.take_beats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let [control, experiment] = summed(&all);
    assert_eq!(control.injected, 0);
    assert_eq!(experiment.injected, experiment.requests, "in its blocks all of the arm meets it");
    assert!(control.requests + experiment.requests < id as u64, "the start of a block counts for none");
    plane.close().await;
}
