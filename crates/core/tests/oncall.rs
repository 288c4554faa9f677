//! Who is on call: rotations tile time in every zone, and who is told is who the rules say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time as Clock, Weekday, date, time as clock};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use mainstay_core::event::parse_time;
use mainstay_core::incident::oncall::{Layer, Only, Override, SHIFTS_MAX, Schedule, Shift, Turn};
use mainstay_core::rng::Rng;
use mainstay_core::slo::window::{Stretch, zone};
use mainstay_core::time::Time;
use proptest::prelude::*;

fn at(text: &str) -> Time {
    parse_time(text).unwrap()
}

fn stamp(at: Time) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap()
}

fn time(stamp: Timestamp) -> Time {
    Time::from_nanos(u64::try_from(stamp.as_nanosecond()).unwrap())
}

fn layer(name: &str, start: DateTime, turn: Turn, people: &[&str]) -> Layer {
    let people = people.iter().map(|person| (*person).to_owned()).collect();
    Layer { name: name.to_owned(), start, until: None, turn, people, only: Vec::new() }
}

fn schedule(zone_name: &str, layers: Vec<Layer>) -> Schedule {
    Schedule { name: "ml".to_owned(), zone: zone(zone_name).unwrap(), layers }
}

fn except(person: &str, from: &str, until: &str) -> Override {
    let (id, schedule) = (format!("{person}-{from}"), "ml".to_owned());
    Override { id, schedule, person: person.to_owned(), from: at(from), until: at(until) }
}

/// `person from until`, a line each.
fn told(shifts: &[Shift]) -> Vec<String> {
    shifts.iter().map(|shift| format!("{} {} {}", shift.person, stamp(shift.from), stamp(shift.until))).collect()
}

const NIGHT: Clock = clock(2, 30, 0, 0);
const FROM: Date = date(2026, 1, 1);
const UNTIL: Date = date(2036, 1, 1);

/// Every zone whose clocks change within the ten years, and when they do.
fn zones() -> Vec<(String, TimeZone, Vec<Timestamp>)> {
    let database = TimeZoneDatabase::bundled();
    let (from, until) = (stamp(at("2026-01-01T00:00:00Z")), stamp(at("2036-01-01T00:00:00Z")));
    let with_changes = |name: jiff::tz::TimeZoneName<'_>| {
        let zone = database.get(name.as_str()).unwrap();
        let mut offset = zone.to_offset(from);
        let changes = zone.following(from).take_while(|change| change.timestamp() < until).filter_map(|change| {
            let before = std::mem::replace(&mut offset, change.offset());
            (before != offset).then(|| change.timestamp())
        });
        let changes: Vec<Timestamp> = changes.collect();
        (!changes.is_empty()).then(|| (name.to_string(), zone, changes))
    };
    database.available().filter_map(with_changes).collect()
}

/// The turns of a rotation by its definition: step by step on the clock, then each by itself to an instant.
fn expected(rotation: &Layer, zone: &TimeZone, until: Time) -> Vec<(Time, DateTime)> {
    let each = match rotation.turn {
        Turn::Hours(count) => Span::new().hours(count),
        Turn::Days(count) => Span::new().days(count),
        Turn::Weeks(count) => Span::new().weeks(count),
        Turn::Months(count) => Span::new().months(count),
    };
    let mut starts = Vec::new();
    let mut civil = rotation.start;
    for turn in 1.. {
        let start = time(zone.to_ambiguous_timestamp(civil).compatible().unwrap());
        if start >= until {
            break;
        }
        starts.push((start, civil));
        civil = rotation.start.checked_add(each * turn).unwrap();
    }
    starts
}

/// A hand-off is when the clock shows it; for the first time where twice, and as much later as is skipped where never.
fn is_at_its_time(zone: &TimeZone, start: Time, civil: DateTime) {
    let (instant, shown) = (stamp(start), zone.to_datetime(stamp(start)));
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { .. } => assert_eq!(shown, civil),
        AmbiguousOffset::Fold { before, .. } => {
            assert_eq!(shown, civil);
            assert_eq!(zone.to_offset(instant), before);
        }
        AmbiguousOffset::Gap { before, after } => {
            assert_eq!(shown.duration_since(civil), before.duration_until(after));
            assert_eq!(zone.to_offset(instant), after);
        }
    }
}

/// The shifts are the turns, one after another, without holes.
fn tiles(schedule: &Schedule, name: &str, until: Time) {
    let rotation = &schedule.layers[0];
    let starts = expected(rotation, &schedule.zone, until);
    let shifts = schedule.shifts(&[], starts[0].0, until);
    assert_eq!(shifts.len(), starts.len(), "{name}");
    assert_eq!(shifts.last().unwrap().until, until, "{name}");
    for (index, (shift, (start, civil))) in shifts.iter().zip(&starts).enumerate() {
        assert_eq!(shift.from, *start, "{name} {civil}");
        assert_eq!(shift.person, rotation.people[index % rotation.people.len()], "{name} {civil}");
        assert!(shift.from < shift.until, "{name} {civil}");
        is_at_its_time(&schedule.zone, *start, *civil);
    }
    for pair in shifts.windows(2) {
        assert_eq!(pair[0].until, pair[1].from, "{name}");
    }
    assert_eq!(schedule.gaps(&[], starts[0].0, until), [], "{name}");
}

/// Who is on call at a moment is who the shifts say, from and until when they say.
fn agrees(schedule: &Schedule, shifts: &[Shift], moment: Time, name: &str) {
    let by_shifts = shifts.iter().find(|shift| shift.from <= moment && moment < shift.until);
    assert_eq!(schedule.who(&[], moment).as_ref(), by_shifts, "{name} {}", stamp(moment));
}

#[test]
fn rotations_tile_ten_years_in_every_zone_whose_clocks_change() {
    let zones = zones();
    assert!(zones.len() > 100 && zones.iter().any(|(name, ..)| name == "Australia/Lord_Howe"), "{}", zones.len());
    let mut rng = Rng::new(7);
    for (name, zone, changes) in zones {
        let until = time(zone.to_timestamp(UNTIL.at(2, 30, 0, 0)).unwrap());
        for turn in [Turn::Days(1), Turn::Weeks(1), Turn::Months(1)] {
            // Hours at which clocks change somewhere: 0, 1, 2, 3.
            let start = FROM.at(rng.below(4) as i8, [0, 15, 30, 45][rng.below(4) as usize], 0, 0);
            let people = ["ada", "bob", "cleo"];
            let schedule = Schedule {
                name: "ml".to_owned(),
                zone: zone.clone(),
                layers: vec![layer("all", start, turn, &people)],
            };
            tiles(&schedule, &name, until);
            let all = schedule.shifts(&[], Time::ZERO, until + Duration::from_hours(32 * 24));
            for change in changes.iter().step_by(3) {
                for minutes in [-61_i64, -30, -1, 0, 1, 30, 61] {
                    let moment = *change + jiff::SignedDuration::from_mins(minutes);
                    agrees(&schedule, &all, time(moment), &name);
                }
            }
            for _ in 0..20 {
                let span = until.since(all[0].from).as_nanos() as f64;
                agrees(&schedule, &all, all[0].from + Duration::from_nanos((rng.unit() * span) as u64), &name);
            }
        }
    }
}

#[test]
fn hand_offs_at_an_hour_that_is_skipped_or_comes_twice() {
    let nightly =
        schedule("Europe/Berlin", vec![layer("all", FROM.to_datetime(NIGHT), Turn::Days(1), &["ada", "bob"])]);
    let spring = nightly.shifts(&[], at("2026-03-28T01:30:00Z"), at("2026-03-31T00:30:00Z"));
    assert_eq!(
        told(&spring),
        [
            "ada 2026-03-28T01:30:00Z 2026-03-29T01:30:00Z",
            "bob 2026-03-29T01:30:00Z 2026-03-30T00:30:00Z",
            "ada 2026-03-30T00:30:00Z 2026-03-31T00:30:00Z",
        ]
    );
    let autumn = nightly.shifts(&[], at("2026-10-24T00:30:00Z"), at("2026-10-27T01:30:00Z"));
    assert_eq!(
        told(&autumn),
        [
            "ada 2026-10-24T00:30:00Z 2026-10-25T00:30:00Z",
            "bob 2026-10-25T00:30:00Z 2026-10-26T01:30:00Z",
            "ada 2026-10-26T01:30:00Z 2026-10-27T01:30:00Z",
        ]
    );
    // Half an hour: on 5 April 2026 from +11:00 to +10:30 at two, on 4 October back at two.
    let at_two = FROM.at(2, 0, 0, 0);
    let island = schedule("Australia/Lord_Howe", vec![layer("all", at_two, Turn::Days(1), &["ada", "bob"])]);
    let found = island.shifts(&[], at("2026-04-03T15:00:00Z"), at("2026-04-06T15:30:00Z"));
    assert_eq!(
        told(&found),
        [
            "bob 2026-04-03T15:00:00Z 2026-04-04T15:30:00Z",
            "ada 2026-04-04T15:30:00Z 2026-04-05T15:30:00Z",
            "bob 2026-04-05T15:30:00Z 2026-04-06T15:30:00Z",
        ]
    );
    let found = island.shifts(&[], at("2026-10-02T15:30:00Z"), at("2026-10-05T15:00:00Z"));
    assert_eq!(
        told(&found),
        [
            "bob 2026-10-02T15:30:00Z 2026-10-03T15:30:00Z",
            "ada 2026-10-03T15:30:00Z 2026-10-04T15:00:00Z",
            "bob 2026-10-04T15:00:00Z 2026-10-05T15:00:00Z",
        ]
    );
}

#[test]
fn hourly_turns_follow_the_clock() {
    let hourly =
        schedule("Europe/Berlin", vec![layer("all", FROM.at(0, 0, 0, 0), Turn::Hours(1), &["ada", "bob", "cleo"])]);
    // The hour from two to three does not exist: its turn takes no time.
    let spring = hourly.shifts(&[], at("2026-03-29T00:00:00Z"), at("2026-03-29T02:00:00Z"));
    assert_eq!(
        told(&spring),
        ["bob 2026-03-29T00:00:00Z 2026-03-29T01:00:00Z", "ada 2026-03-29T01:00:00Z 2026-03-29T02:00:00Z"]
    );
    // The hour from two to three comes twice: its turn takes two.
    let autumn = hourly.shifts(&[], at("2026-10-24T23:00:00Z"), at("2026-10-25T03:00:00Z"));
    assert_eq!(
        told(&autumn),
        [
            "bob 2026-10-24T23:00:00Z 2026-10-25T00:00:00Z",
            "cleo 2026-10-25T00:00:00Z 2026-10-25T02:00:00Z",
            "ada 2026-10-25T02:00:00Z 2026-10-25T03:00:00Z",
        ]
    );
}

#[test]
fn a_day_that_a_zone_left_out_is_left_out_of_turns_of_any_length() {
    let (from, until) = (at("2011-12-20T00:00:00Z"), at("2012-01-10T00:00:00Z"));
    for hours in 1..=30 {
        let rotation = layer("all", date(2011, 12, 1).at(5, 0, 0, 0), Turn::Hours(hours), &["ada", "bob", "cleo"]);
        let apia = schedule("Pacific/Apia", vec![rotation]);
        let shifts = apia.shifts(&[], from, until);
        assert_eq!((shifts[0].from, shifts[shifts.len() - 1].until), (from, until));
        assert!(shifts.windows(2).all(|pair| pair[0].until == pair[1].from && pair[0].from < pair[0].until));
        for quarters in 0..5 * 24 * 4 {
            let moment = at("2011-12-28T00:00:00Z") + Duration::from_mins(15 * quarters);
            agrees(&apia, &shifts, moment, &format!("{hours}h"));
        }
    }
}

#[test]
fn months_from_the_31st_do_not_drift() {
    let monthly = schedule("UTC", vec![layer("all", date(2026, 1, 31).at(9, 0, 0, 0), Turn::Months(1), &["ada"])]);
    let shifts = monthly.shifts(&[], at("2026-01-01T00:00:00Z"), at("2028-04-01T00:00:00Z"));
    let starts: Vec<String> = shifts.iter().map(|shift| stamp(shift.from).to_string()[5..10].to_owned()).collect();
    let year = ["03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31", "11-30", "12-31", "01-31"];
    let expected: Vec<&str> =
        ["01-31", "02-28"].into_iter().chain(year).chain(["02-28"]).chain(year).chain(["02-29", "03-31"]).collect();
    assert_eq!(starts, expected);
}

#[test]
fn later_layers_win_where_they_count_and_the_last_override_wins_over_all() {
    let mut work = layer("work", date(2026, 1, 6).at(0, 0, 0, 0), Turn::Weeks(1), &["cleo"]);
    work.only = vec![
        Only { days: vec![Weekday::Monday, Weekday::Tuesday], from: clock(9, 0, 0, 0), to: clock(17, 0, 0, 0) },
        Only { days: vec![Weekday::Tuesday], from: clock(22, 0, 0, 0), to: clock(6, 0, 0, 0) },
    ];
    work.until = Some(date(2026, 1, 12).at(12, 0, 0, 0));
    let base = layer("base", date(2026, 1, 5).at(8, 0, 0, 0), Turn::Weeks(1), &["ada", "bob"]);
    let schedule = schedule("UTC", vec![base, work]);
    let (from, until) = (at("2026-01-05T00:00:00Z"), at("2026-01-14T00:00:00Z"));
    let shifts = schedule.shifts(&[], from, until);
    assert_eq!(
        told(&shifts),
        [
            // On Monday the 5th the second layer has not started.
            "ada 2026-01-05T08:00:00Z 2026-01-06T09:00:00Z",
            "cleo 2026-01-06T09:00:00Z 2026-01-06T17:00:00Z",
            "ada 2026-01-06T17:00:00Z 2026-01-06T22:00:00Z",
            "cleo 2026-01-06T22:00:00Z 2026-01-07T06:00:00Z",
            "ada 2026-01-07T06:00:00Z 2026-01-12T08:00:00Z",
            "bob 2026-01-12T08:00:00Z 2026-01-12T09:00:00Z",
            "cleo 2026-01-12T09:00:00Z 2026-01-12T12:00:00Z",
            "bob 2026-01-12T12:00:00Z 2026-01-14T00:00:00Z",
        ]
    );
    assert_eq!(schedule.gaps(&[], from, until), [Stretch { from, to: at("2026-01-05T08:00:00Z") }]);
    assert_eq!(schedule.who(&[], at("2026-01-05T07:59:59Z")), None);

    let overrides = [
        except("dan", "2026-01-06T08:00:00Z", "2026-01-06T12:00:00Z"),
        except("eve", "2026-01-06T10:00:00Z", "2026-01-06T11:00:00Z"),
        Override { schedule: "other".to_owned(), ..except("fay", "2026-01-06T00:00:00Z", "2026-01-07T00:00:00Z") },
        except("gus", "2026-01-06T11:00:00Z", "2026-01-06T11:00:00Z"),
    ];
    let shifts = schedule.shifts(&overrides, at("2026-01-06T00:00:00Z"), at("2026-01-06T13:00:00Z"));
    assert_eq!(
        told(&shifts),
        [
            "ada 2026-01-06T00:00:00Z 2026-01-06T08:00:00Z",
            "dan 2026-01-06T08:00:00Z 2026-01-06T10:00:00Z",
            "eve 2026-01-06T10:00:00Z 2026-01-06T11:00:00Z",
            "dan 2026-01-06T11:00:00Z 2026-01-06T12:00:00Z",
            "cleo 2026-01-06T12:00:00Z 2026-01-06T13:00:00Z",
        ]
    );
    assert_eq!(
        shifts.iter().map(|shift| shift.layer.as_deref()).collect::<Vec<_>>(),
        [Some("base"), None, None, None, Some("work")]
    );
    let ada = schedule.who(&overrides, at("2026-01-06T07:00:00Z")).unwrap();
    assert_eq!(told(&[ada]), ["ada 2026-01-05T08:00:00Z 2026-01-06T08:00:00Z"]);
    let nobody = Schedule { layers: Vec::new(), ..schedule };
    assert_eq!(nobody.who(&overrides, at("2026-01-06T10:30:00Z")).unwrap().person, "eve");
}

#[test]
fn stretches_that_touch_are_one_shift_and_nights_begin_and_end_by_the_clock() {
    let mut night = layer("night", date(2026, 3, 2).at(9, 0, 0, 0), Turn::Weeks(1), &["ada", "bob"]);
    let all = vec![
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];
    night.only = vec![Only { days: all.clone(), from: clock(0, 0, 0, 0), to: clock(0, 0, 0, 0) }];
    let whole = schedule("Europe/Berlin", vec![night.clone()]);
    let mut unrestricted = night.clone();
    unrestricted.only = Vec::new();
    let plain = schedule("Europe/Berlin", vec![unrestricted]);
    let (from, until) = (at("2026-02-01T00:00:00Z"), at("2026-05-01T00:00:00Z"));
    assert_eq!(whole.shifts(&[], from, until), plain.shifts(&[], from, until));
    assert_eq!(whole.who(&[], at("2026-03-28T00:00:00Z")), plain.who(&[], at("2026-03-28T00:00:00Z")));

    night.only = vec![Only { days: all, from: clock(22, 0, 0, 0), to: clock(6, 0, 0, 0) }];
    let nights = schedule("Europe/Berlin", vec![night]);
    let found = nights.shifts(&[], at("2026-03-28T12:00:00Z"), at("2026-03-30T12:00:00Z"));
    assert_eq!(
        told(&found),
        ["bob 2026-03-28T21:00:00Z 2026-03-29T04:00:00Z", "bob 2026-03-29T20:00:00Z 2026-03-30T04:00:00Z"]
    );
    let gaps = nights.gaps(&[], at("2026-03-28T12:00:00Z"), at("2026-03-29T12:00:00Z"));
    assert_eq!(gaps.len(), 2);
}

#[test]
fn what_is_asked_for_is_bounded_and_odd_schedules_are_answered() {
    let hourly = layer("all", date(1970, 1, 1).at(0, 0, 0, 0), Turn::Hours(1), &["ada"]);
    let utc = schedule("UTC", vec![hourly]);
    assert_eq!(utc.shifts(&[], Time::ZERO, Time::MAX).len(), SHIFTS_MAX);
    assert_eq!(utc.shifts(&[], at("2026-01-02T00:00:00Z"), at("2026-01-01T00:00:00Z")), []);
    assert!(utc.who(&[], Time::from_nanos(u64::MAX - 1)).is_some());

    for turn in [Turn::Hours(0), Turn::Days(u32::MAX), Turn::Weeks(u32::MAX), Turn::Months(u32::MAX), Turn::Months(0)] {
        for (start, people) in
            [(date(-9999, 1, 1), &["ada"][..]), (date(2026, 1, 1), &[]), (date(9999, 12, 31), &["ada"])]
        {
            let mut odd = layer("odd", start.at(0, 0, 0, 0), turn, people);
            for only in [Vec::new(), vec![Only { days: Vec::new(), from: NIGHT, to: NIGHT }]] {
                odd.only = only;
                for until in [None, Some(date(-9999, 1, 1).at(0, 0, 0, 0)), Some(date(2027, 1, 1).at(0, 0, 0, 0))] {
                    odd.until = until;
                    let odd = schedule("Europe/Berlin", vec![odd.clone()]);
                    for moment in [Time::ZERO, at("2026-06-01T00:00:00Z"), Time::MAX] {
                        let _ = odd.who(&[], moment);
                    }
                    let (from, until) = (at("2026-06-01T00:00:00Z"), at("2026-06-02T00:00:00Z"));
                    let (shifts, gaps) = (odd.shifts(&[], from, until), odd.gaps(&[], from, until));
                    assert!(!shifts.is_empty() || gaps == [Stretch { from, to: until }]);
                }
            }
        }
    }
}

fn arb_turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        (1..30_u32).prop_map(Turn::Hours),
        (1..9_u32).prop_map(Turn::Days),
        (1..4_u32).prop_map(Turn::Weeks),
        (1..4_u32).prop_map(Turn::Months),
    ]
}

fn arb_civil() -> impl Strategy<Value = DateTime> {
    let day = (0..120_i64).prop_map(|days| date(2026, 2, 1).checked_add(Span::new().days(days)).unwrap());
    (day, 0..24_i8, prop::sample::select(vec![0, 15, 30, 45_i8]))
        .prop_map(|(day, hour, minute)| day.at(hour, minute, 0, 0))
}

fn arb_only() -> impl Strategy<Value = Only> {
    let days = prop::collection::vec((0..7_i8).prop_map(|day| Weekday::from_monday_zero_offset(day).unwrap()), 1..4);
    let half = |halves: i8| clock(halves / 2, halves % 2 * 30, 0, 0);
    (days, 0..48_i8, 0..48_i8).prop_map(move |(days, from, to)| Only { days, from: half(from), to: half(to) })
}

fn arb_layer() -> impl Strategy<Value = Layer> {
    let until = prop::option::of(arb_civil());
    let only = prop::collection::vec(arb_only(), 0..3);
    (arb_civil(), until, arb_turn(), 1..4_usize, only).prop_map(|(start, until, turn, people, only)| {
        let people = (0..people).map(|person| format!("p{person}")).collect();
        Layer { name: "l".to_owned(), start, until, turn, people, only }
    })
}

/// Who is on call, by the rules read one by one.
fn by_the_rules(schedule: &Schedule, overrides: &[Override], moment: Time) -> Option<String> {
    if let Some(one) = overrides.iter().rev().find(|one| one.from <= moment && moment < one.until) {
        return Some(one.person.clone());
    }
    let instant = |civil| time(schedule.zone.to_ambiguous_timestamp(civil).compatible().unwrap());
    let today = schedule.zone.to_datetime(stamp(moment)).date();
    let counts = |only: &Only| {
        [today, today.yesterday().unwrap()].into_iter().any(|day| {
            let last = if only.to > only.from { day } else { day.tomorrow().unwrap() };
            let (from, to) = (instant(day.to_datetime(only.from)), instant(last.to_datetime(only.to)));
            only.days.contains(&day.weekday()) && from <= moment && moment < to
        })
    };
    let layer = schedule.layers.iter().rev().find(|layer| {
        let ended = layer.until.is_some_and(|until| instant(until) <= moment);
        instant(layer.start) <= moment && !ended && (layer.only.is_empty() || layer.only.iter().any(counts))
    })?;
    let later = moment + Duration::from_nanos(1);
    let started = expected(layer, &schedule.zone, later + Duration::from_hours(2));
    let turn = started.iter().rposition(|(start, _)| *start <= moment)?;
    Some(layer.people[turn % layer.people.len()].clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any layers and overrides: shifts and gaps tile the time, each is as the rules say, and `who` agrees.
    #[test]
    fn shifts_and_gaps_tile_and_are_as_the_rules_say(
        layers in prop::collection::vec(arb_layer(), 1..4),
        overrides in prop::collection::vec((0..2_000_u64, 1..200_u64), 0..3),
        zone_name in prop::sample::select(vec!["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "UTC"]),
        moments in prop::collection::vec(0..60 * 24 * 60_u64, 20),
    ) {
        let schedule = schedule(zone_name, layers);
        let from = at("2026-03-01T00:00:00Z");
        let until = at("2026-04-30T00:00:00Z");
        let overrides: Vec<Override> = overrides.iter().enumerate().map(|(index, (start, length))| {
            let start = from + Duration::from_mins(30 * start);
            let until = start + Duration::from_mins(30 * length);
            Override { id: index.to_string(), schedule: "ml".to_owned(), person: format!("o{index}"), from: start, until }
        }).collect();
        let shifts = schedule.shifts(&overrides, from, until);
        let gaps = schedule.gaps(&overrides, from, until);
        let mut pieces: Vec<Stretch> = shifts.iter().map(|shift| Stretch { from: shift.from, to: shift.until }).collect();
        pieces.extend(&gaps);
        pieces.sort_by_key(|piece| piece.from);
        prop_assert_eq!((pieces[0].from, pieces[pieces.len() - 1].to), (from, until));
        for pair in pieces.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
        }
        let edges = pieces.iter().flat_map(|piece| [piece.from, piece.to - Duration::from_nanos(1)]);
        let sampled = moments.iter().map(|minutes| from + Duration::from_mins(*minutes));
        for moment in edges.chain(sampled) {
            let expected = by_the_rules(&schedule, &overrides, moment);
            let who = schedule.who(&overrides, moment);
            prop_assert_eq!(who.as_ref().map(|shift| &shift.person), expected.as_ref(), "{}", stamp(moment));
            if let Some(who) = who {
                let shift = shifts.iter().find(|shift| shift.from <= moment && moment < shift.until).unwrap();
                let cut = Shift { from: who.from.max(from), until: who.until.min(until), ..who };
                prop_assert_eq!(&cut, shift);
            }
        }
    }
}
