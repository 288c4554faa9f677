//! The drills of `docs/drills`: each holds, and says the same when it is run again.

#![expect(clippy::disallowed_methods, reason = "drills are files")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_core::drill::Drill;
use mainstay_sim::{Held, Run};

fn drills(directory: &str) -> Vec<(String, Drill)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/drills").join(directory);
    let files = std::fs::read_dir(&directory)
        .expect("the directory is there")
        .map(|entry| entry.expect("it can be read").path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "md")).collect();
    files.sort();
    assert!(!files.is_empty(), "no drills in {}", directory.display());
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let (drill, findings) = mainstay_config::drill(&text, &mut |named| {
            std::fs::read_to_string(path.with_file_name(named)).map_err(|error| error.to_string())
        });
        let drill = drill.unwrap_or_else(|| panic!("{}", mainstay_config::render(&findings, &name, &text, false)));
        (name, drill)
    };
    files.into_iter().map(read).collect()
}

/// Runs all, two at a time, and prints the table.
fn hold(drills: &[(String, Drill)]) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some((name, drill)) = drills.get(next.fetch_add(1, Ordering::Relaxed)) {
            let run = mainstay_sim::run(drill, drill.seed);
            println!("{}", table(name, &run));
            if !run.passed() {
                wrong.push(table(name, &run));
            }
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no run panics")).collect()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn table(name: &str, run: &Run) -> String {
    let lines = run.verdicts.iter().map(|verdict| {
        let held = match verdict.held {
            Held::Yes => "yes",
            Held::No => "NO",
            Held::Known => "known gap",
        };
        format!("{name}: {held}: {}: {} [{}]", verdict.name, verdict.holds, verdict.measured)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// With `MAINSTAY_LONG_DRILLS` those of hours of virtual time as well: `cargo xtask soak`.
#[test]
fn drills_hold() {
    let long = std::env::var("MAINSTAY_LONG_DRILLS").is_ok();
    hold(&drills(""));
    if long {
        hold(&drills("long"));
        // Three seeds of the language model.
        let mut engines: Vec<_> = drills("").into_iter().filter(|(name, _)| name.starts_with("b1-")).collect();
        for seed in [2, 3] {
            for (_, drill) in &mut engines {
                drill.seed = seed;
            }
            hold(&engines);
        }
    }
}

#[test]
fn the_same_seed_says_the_same_and_another_does_not() {
    let all = drills("");
    let wanted = [
        "c1-outage.md",
        "c7-fail-back.md",
        "f1-store-outage.md",
        "l1-day.md",
        "o1-on-call.md",
        "t1-first-token.md",
        "v1-deploy.md",
        "v2-way-back.md",
    ];
    for wanted in wanted {
        let (_, drill) = all.iter().find(|(name, _)| name == wanted).unwrap();
        let (one, two) = (mainstay_sim::run(drill, 7), mainstay_sim::run(drill, 7));
        assert_eq!(one, two, "{wanted}");
        assert!(!one.transcript.is_empty());
        assert_ne!(one.curves, mainstay_sim::run(drill, 8).curves, "{wanted}");
    }
}

/// What was done to the backend, second by second.
fn deployed(text: &str) -> Vec<String> {
    let (drill, findings) = mainstay_config::drill(text, &mut |_| Err("no files".to_owned()));
    let drill = drill.unwrap_or_else(|| panic!("{}", mainstay_config::render(&findings, "a drill", text, false)));
    let lines = mainstay_sim::run(&drill, drill.seed).transcript;
    let of_backend = lines.iter().filter(|line| line.text.contains("version") || line.text.contains("restarts"));
    of_backend.map(|line| format!("{}: {}", line.at.as_secs(), line.text.trim_start_matches("* "))).collect()
}

#[test]
fn a_way_back_waits_for_the_part_at_hand_and_leaves_alone_what_never_left() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/drills/v2-way-back.md");
    let text = std::fs::read_to_string(path).expect("it can be read");
    let by_rule = "quiet: 5m, types: { serving_latency: { auto: [previous_model] } } }";
    let text = text.replace("quiet: 5m }", by_rule);
    assert_eq!(
        deployed(&text),
        [
            "300: a new version comes to backend model",
            "300: backend model: part 1 of 4 restarts",
            "315: backend model: part 2 of 4 restarts",
            "320: the version before comes to backend model",
            "330: backend model: part 1 of 4 restarts",
            "345: backend model: part 2 of 4 restarts",
            "360: backend model: the version before is everywhere again",
        ]
    );
    // A deploy that brings no version restarts every part.
    let again = "- { at: 400s, backend: model, deploy: { restart: 10s } }\n```\n\n```yaml expect";
    let both = text.replacen("```\n\n```yaml expect", again, 1);
    let restarts = deployed(&both)[7..].iter().filter(|line| line.ends_with("restarts")).count();
    assert_eq!((both.len() > text.len(), restarts), (true, 4));
}

#[test]
fn nobody_goes_back_where_no_version_came() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/drills/v2-way-back.md");
    let text = std::fs::read_to_string(path).expect("it can be read");
    let slow = "- { at: 5m, backend: model, slow: 4 }";
    let text = text.replace(
        "- { at: 5m, backend: model, deploy: { restart: 10s, cold: 5s, slow: 2, version: { slow: 4 } } }",
        slow,
    );
    let (drill, _) = mainstay_config::drill(&text, &mut |_| Err("no files".to_owned()));
    let run = mainstay_sim::run(&drill.expect("it is one"), 1);
    let done: Vec<&str> = run.transcript.iter().map(|line| &*line.text).filter(|it| it.contains(" acts: ")).collect();
    assert_eq!(done.first(), Some(&"ada acts: score is held at level 4"), "{done:?}");
    assert!(!done.iter().any(|it| it.contains("goes back")), "{done:?}");
}
