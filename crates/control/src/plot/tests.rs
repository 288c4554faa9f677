use proptest::prelude::*;

use super::*;

fn plot(points: Vec<(Time, f64)>) -> Plot {
    Plot { title: "bad share".into(), unit: "%".into(), points, marks: Vec::new(), bound: None }
}

fn at(second: u64) -> Time {
    Time::from_secs(1_772_366_400 + second)
}

#[test]
fn blocks_go_from_the_least_to_the_greatest() {
    let rising = plot((0..8).map(|n| (at(60 * n), n as f64)).collect());
    assert_eq!(Drawn::of(&rising, &[]).sparkline(), "▁▂▃▄▅▆▇█");
    let flat = plot(vec![(at(0), 3.0), (at(60), 3.0)]);
    assert_eq!(Drawn::of(&flat, &[]).sparkline(), "▁▁");
    let gap = plot(vec![(at(0), 0.0), (at(10), 0.0), (at(20), f64::NAN), (at(100), 1.0)]);
    assert_eq!(Drawn::of(&gap, &[]).sparkline(), "▁·█");
    assert_eq!(Drawn::of(&plot(Vec::new()), &[]).sparkline(), "");
}

#[test]
fn clocks_and_marks_within_the_values_are_shown_once() {
    let mut of = plot(vec![(at(0), 1.0), (at(100), 2.0)]);
    of.marks = vec![(at(50), "level 2".into()), (at(10), "detected".into()), (at(101), "late".into())];
    let drawn = Drawn::of(&of, &[(at(10), "detected"), (at(0), "onset"), (at(200), "resolved")]);
    let marks: Vec<_> = drawn.marks.iter().map(|(at, text)| (*at, text.as_str())).collect();
    assert_eq!(marks, [(at(0), "onset"), (at(10), "detected"), (at(50), "level 2")]);
}

#[test]
fn peaks_and_gaps_outlive_thinning() {
    let mut points: Vec<_> = (0..100_000).map(|n| (at(n), 1.0)).collect();
    points[70_001].1 = 9.0;
    points[30_003].1 = -9.0;
    points[50_000].1 = f64::NAN;
    let drawn = Drawn::of(&plot(points), &[]);
    assert!(drawn.points.len() <= POINTS_MAX);
    assert_eq!(drawn.extremes(), Some(((at(30_003), -9.0), (at(70_001), 9.0))));
    assert_eq!(drawn.points.iter().filter(|(_, value)| value.is_nan()).count(), 1);
    assert_eq!(drawn.given, 100_000);
    let shown = drawn.sampled(12);
    assert_eq!((shown.len(), Some((shown[0].0, shown[11].0))), (12, drawn.span()));
}

#[test]
fn moments_are_round() {
    let (times, step) = moments(at(10), at(3_700), 6);
    assert_eq!(step, Duration::from_mins(10));
    assert_eq!(times, [600, 1_200, 1_800, 2_400, 3_000, 3_600].map(at));
    assert_eq!(moments(at(0), at(0), 6).0, [at(0)]);
    assert!(moments(Time::ZERO, Time::MAX, 6).0.len() <= 8);
}

#[test]
fn a_drawing_is_well_formed_whatever_is_in_it() {
    let mut of = plot(vec![(at(0), 1e99), (at(1), f64::INFINITY), (at(2), -1e99), (at(3), f64::NAN), (at(4), 0.0)]);
    let hostile = "</svg><script>alert(1)</script>\u{0}\u{1b}\u{fffe}\"'&lt;]]>--><!--";
    of.title = hostile.into();
    of.unit = hostile.into();
    of.marks = (0..30).map(|n| (at(n % 4), format!("{n}{hostile}"))).collect();
    of.bound = Some(5.0);
    let text = Drawn::of(&of, &[(at(1), "onset")]).svg().into_string();
    let read = roxmltree::Document::parse(&text).unwrap();
    let known = ["svg", "title", "line", "text", "path"];
    let elements: Vec<_> = read.descendants().filter(roxmltree::Node::is_element).collect();
    assert!(elements.iter().all(|it| known.contains(&it.tag_name().name())));
    assert!(elements.iter().flat_map(roxmltree::Node::attributes).all(|it| !it.name().starts_with("on")));
    let path = elements.iter().find(|it| it.has_tag_name(("http://www.w3.org/2000/svg", "path"))).unwrap();
    assert_eq!(path.attribute("d").unwrap().matches('M').count(), 3, "each gap ends a line");
}

#[test]
fn a_curve_over_steps_has_round_steps_below_it() {
    let points: Vec<_> = (0..=40).map(|n| (f64::from(n) * 25.0, 1.0 / f64::from(1 + n))).collect();
    let drawn = Drawn::over_numbers("loss", "", &points);
    assert_eq!(
        (drawn.words(at_number(250.0)), drawn.span()),
        ("250".to_owned(), Some((Time::ZERO, at_number(1000.0))))
    );
    let ticks = Axis::Numbers.ticks(Time::ZERO, at_number(1000.0), 6);
    assert_eq!(
        ticks.iter().map(|(_, word)| word.as_str()).collect::<Vec<_>>(),
        ["0", "200", "400", "600", "800", "1000"]
    );
    let svg = drawn.svg().into_string();
    assert!(svg.contains("loss, 0 to 1000</title>") && svg.contains(">800</text>") && !svg.contains("1970"), "{svg}");
    for odd in
        [vec![], vec![(f64::NAN, 1.0)], vec![(7.0, 1.0)], vec![(-5.0, 1.0), (1e300, f64::INFINITY), (1e300, 2.0)]]
    {
        let text = Drawn::over_numbers("<odd>", "", &odd).svg().into_string();
        assert!(roxmltree::Document::parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn curves_of_a_file_stand_below_each_other_and_need_nothing_around_them() {
    let points = [(0.0, 1.0), (10.0, 0.5)];
    let hostile = "a<b>&\u{1b}</svg>";
    let curves = [(hostile, &points[..]), ("none", &[]), ("again", &points[..])];
    let text = curves_svg(hostile, curves);
    let read = roxmltree::Document::parse(&text).unwrap();
    let group = ("http://www.w3.org/2000/svg", "g");
    let tops: Vec<f64> = read
        .root_element()
        .children()
        .filter(|it| it.has_tag_name(group))
        .map(|it| it.attribute("transform").unwrap().trim_matches(|c: char| !c.is_ascii_digit())[2..].parse().unwrap())
        .collect();
    assert!(tops.len() == 3 && tops[0] + 180.0 < tops[1] && tops[1] < tops[2], "{tops:?}");
    let height: f64 = read.root_element().attribute("viewBox").unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(height > tops[2] + 180.0, "{height}");
    assert!(text.matches("path class=\"line\"").count() == 2 && text.contains("No values are known"), "{text}");
    assert!(text.contains("--line:") && text.ends_with("</svg>\n"), "{text}");
    assert!(roxmltree::Document::parse(&curves_svg("nothing", [])).is_ok());
}

proptest! {
    #[test]
    fn levels_hold_the_values_and_are_few(a in -1e12_f64..1e12, b in -1e12_f64..1e12, small in -120..1_i32) {
        let (a, b) = (a * 10_f64.powi(small), b * 10_f64.powi(small));
        let (low, high) = (a.min(b), a.max(b));
        let levels = levels(low, high, 4.0);
        let slack = 1e-9 * (high - low).max(VALUE_MIN);
        prop_assert!(levels.len() >= 2 && levels.len() <= 8, "{:?}", levels);
        prop_assert!(levels.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", levels);
        prop_assert!(levels[0] <= low + slack && high <= levels[levels.len() - 1] + slack || high.abs().max(low.abs()) < VALUE_MIN);
    }

    #[test]
    fn nothing_is_drawn_outside_of_the_drawing(
        points in prop::collection::vec((0_u64..5_000, prop_oneof![any::<f64>(), -1e6_f64..1e6]), 0..60),
        bound in prop::option::of(any::<f64>()),
    ) {
        let mut of = plot(points.iter().map(|(second, value)| (at(*second), *value)).collect());
        of.bound = bound;
        let text = Drawn::of(&of, &[(at(100), "onset")]).svg().into_string();
        let read = roxmltree::Document::parse(&text).unwrap();
        let size: Vec<f64> = match read.root_element().attribute("viewBox") {
            Some(all) => all.split(' ').map(|it| it.parse().unwrap()).collect(),
            None => return Ok(()),
        };
        for node in read.descendants() {
            for name in ["x", "x1", "x2", "y", "y1", "y2"] {
                let Some(value) = node.attribute(name) else { continue };
                let most = if name.starts_with('x') { size[2] } else { size[3] };
                let value: f64 = value.parse().unwrap();
                prop_assert!((0.0..=most).contains(&value), "{}={}", name, value);
            }
            for pair in node.attribute("d").unwrap_or_default().replace("h0", "").split(['M', 'L']).skip(1) {
                let (x, y) = pair.split_once(' ').unwrap();
                prop_assert!((0.0..=size[2]).contains(&x.parse::<f64>().unwrap()));
                prop_assert!((0.0..=size[3]).contains(&y.parse::<f64>().unwrap()));
            }
        }
    }
}
