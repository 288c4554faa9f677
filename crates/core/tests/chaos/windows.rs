//! Windows, against a judge of single minutes.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time as TimeOfDay, Weekday};
use jiff::tz::TimeZone;
use mainstay_core::chaos::experiment::Blast;
use mainstay_core::chaos::window::{Deny, DenyWhen, Weekly, Windows};
use mainstay_core::slo::window::zone;
use mainstay_core::time::Time;
use proptest::prelude::*;

fn at(text: &str) -> Time {
    time(text.parse().unwrap())
}

fn time(stamp: Timestamp) -> Time {
    Time::from_nanos(u64::try_from(stamp.as_nanosecond()).unwrap())
}

fn shown(zone: &TimeZone, at: Time) -> DateTime {
    zone.to_datetime(Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap())
}

fn day_time(hour: i8, minute: i8) -> TimeOfDay {
    TimeOfDay::new(hour, minute, 0, 0).unwrap()
}

fn weekly(days: &[Weekday], (from_hour, from_minute): (i8, i8), to: Option<(i8, i8)>) -> Weekly {
    let to = to.map(|(hour, minute)| day_time(hour, minute));
    Weekly { days: days.to_vec(), from: day_time(from_hour, from_minute), to }
}

fn denied(weekly: Weekly) -> Deny {
    Deny { when: DenyWhen::Weekly(weekly), reason: Some("backups".to_owned()) }
}

fn in_zone(name: &str) -> Windows {
    Windows { zone: zone(name).unwrap(), ..Windows::default() }
}

fn fits(windows: &Windows, blast: Blast, from: &str, until: &str) -> bool {
    windows.check(blast, at(from), at(until)).is_ok()
}

#[test]
fn without_a_word_of_the_config_nothing_beyond_limited_runs_from_nine_until_six() {
    let windows = in_zone("Europe/Berlin");
    // Berlin is an hour ahead in winter.
    for (from, until, may) in [
        ("2026-11-24T07:00:00Z", "2026-11-24T08:00:00Z", true),
        ("2026-11-24T07:00:00Z", "2026-11-24T08:00:00.000000001Z", false),
        ("2026-11-24T08:00:00Z", "2026-11-24T08:01:00Z", false),
        ("2026-11-24T16:30:00Z", "2026-11-24T16:31:00Z", false),
        ("2026-11-24T16:59:59.999999999Z", "2026-11-24T17:30:00Z", false),
        ("2026-11-24T17:00:00Z", "2026-11-24T17:30:00Z", true),
        ("2026-11-24T17:00:00Z", "2026-11-25T08:00:00Z", true),
        ("2026-11-24T07:59:00Z", "2026-11-24T17:01:00Z", false),
    ] {
        for blast in [Blast::Moderate, Blast::Full] {
            assert_eq!(fits(&windows, blast, from, until), may, "{from} to {until}");
        }
        assert!(fits(&windows, Blast::Limited, from, until), "{from} to {until}");
    }
    assert_eq!(windows.closes(Blast::Full, at("2026-11-24T20:00:00Z")), Some(at("2026-11-25T08:00:00Z")));
    assert_eq!(windows.closes(Blast::Full, at("2026-11-24T12:00:00Z")), Some(at("2026-11-24T12:00:00Z")));
    assert_eq!(windows.closes(Blast::Limited, at("2026-11-24T12:00:00Z")), None);
    // In summer it is two hours ahead.
    assert_eq!(windows.closes(Blast::Full, at("2026-07-01T00:00:00Z")), Some(at("2026-07-01T07:00:00Z")));
}

#[test]
fn a_refusal_says_why_and_when_it_could_begin() {
    let windows = Windows {
        deny: vec![Deny {
            when: DenyWhen::Days(Date::constant(2026, 12, 20), Date::constant(2027, 1, 5)),
            reason: Some("freeze".to_owned()),
        }],
        ..in_zone("Europe/Berlin")
    };
    let refused = |blast, from: &str, until: &str| windows.check(blast, at(from), at(until)).unwrap_err();
    let refusal = refused(Blast::Moderate, "2026-11-24T15:00:00Z", "2026-11-24T15:30:00Z");
    assert_eq!(refusal.code, "window");
    assert!(refusal.text.contains("2026-11-24 18:00"), "{}", refusal.text);
    let refusal = refused(Blast::Limited, "2027-01-01T00:00:00Z", "2027-01-01T01:00:00Z");
    assert!(refusal.text.contains("freeze") && refusal.text.contains("2027-01-06 00:00"), "{}", refusal.text);
    let refusal = refused(Blast::Limited, "2026-12-22T00:00:00Z", "2026-12-22T01:00:00Z");
    assert!(refusal.text.contains("nothing within the next week"), "{}", refusal.text);
    let refusal = refused(Blast::Full, "2026-11-23T20:00:00Z", "2026-11-24T20:00:00Z");
    assert!(refusal.text.contains("2026-11-24 09:00"), "{}", refusal.text);
}

#[test]
fn days_of_a_freeze_and_holidays_are_days_of_the_zone() {
    let day = Date::constant(2026, 12, 25);
    let freeze = Deny { when: DenyWhen::Days(day, day), reason: None };
    let windows = Windows { deny: vec![freeze], ..in_zone("Pacific/Auckland") };
    // Thirteen hours ahead.
    assert_eq!(windows.closes(Blast::Limited, at("2026-12-24T10:59:00Z")), Some(at("2026-12-24T11:00:00Z")));
    assert!(fits(&windows, Blast::Limited, "2026-12-25T11:00:00Z", "2026-12-25T12:00:00Z"));
    let windows = Windows { holidays: vec![day], allow: Some(Vec::new()), ..in_zone("Pacific/Auckland") };
    assert_eq!(windows.closes(Blast::Moderate, at("2026-12-24T10:59:00Z")), Some(at("2026-12-24T11:00:00Z")));
    assert!(fits(&windows, Blast::Limited, "2026-12-24T10:00:00Z", "2026-12-24T12:00:00Z"));
}

#[test]
fn a_window_may_cross_midnight() {
    // What some schedulers never open since its start is later than its end.
    let allow = vec![weekly(&[Weekday::Friday], (22, 0), Some((4, 0)))];
    let windows = Windows { allow: Some(allow), ..in_zone("Europe/Berlin") };
    assert!(fits(&windows, Blast::Full, "2026-11-27T21:00:00Z", "2026-11-28T03:00:00Z"));
    assert!(!fits(&windows, Blast::Full, "2026-11-27T21:00:00Z", "2026-11-28T03:01:00Z"));
    assert!(!fits(&windows, Blast::Full, "2026-11-27T20:59:00Z", "2026-11-27T22:00:00Z"));
    // It is of the day on which it starts: early on Friday is none.
    assert!(!fits(&windows, Blast::Full, "2026-11-27T01:00:00Z", "2026-11-27T02:00:00Z"));
    let to_the_end =
        Windows { allow: Some(vec![weekly(&[Weekday::Friday], (22, 0), None)]), ..in_zone("Europe/Berlin") };
    assert_eq!(to_the_end.closes(Blast::Full, at("2026-11-27T21:30:00Z")), Some(at("2026-11-27T23:00:00Z")));
    let whole = Windows { allow: Some(vec![weekly(&[Weekday::Friday], (9, 0), Some((9, 0)))]), ..in_zone("UTC") };
    assert!(fits(&whole, Blast::Full, "2026-11-27T09:00:00Z", "2026-11-28T09:00:00Z"));
}

#[test]
fn a_time_that_clocks_skip_never_is() {
    // On 29 March 2026 Berlin's clocks go from 02:00 to 03:00.
    let windows = Windows { deny: vec![denied(weekly(&[], (2, 0), Some((3, 0))))], ..in_zone("Europe/Berlin") };
    assert!(fits(&windows, Blast::Limited, "2026-03-29T00:00:00Z", "2026-03-29T04:00:00Z"));
    // One that starts in the gap starts where the gap ends, one that ends in it ends there.
    let starts = Windows { deny: vec![denied(weekly(&[], (2, 30), Some((4, 0))))], ..in_zone("Europe/Berlin") };
    assert_eq!(starts.closes(Blast::Limited, at("2026-03-29T00:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
    let ends = Windows { allow: Some(vec![weekly(&[], (0, 0), Some((2, 30)))]), ..in_zone("Europe/Berlin") };
    assert_eq!(ends.closes(Blast::Full, at("2026-03-29T00:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
    // Santiago's day of 6 September 2026 begins at one.
    let windows = Windows { deny: vec![denied(weekly(&[], (0, 0), Some((1, 0))))], ..in_zone("America/Santiago") };
    assert_eq!(windows.closes(Blast::Limited, at("2026-09-06T03:30:00Z")), Some(at("2026-09-07T03:00:00Z")));
}

#[test]
fn what_clocks_show_twice_is_judged_twice() {
    // On 25 October 2026 Berlin's clocks show 02:00 to 03:00 twice.
    let windows = Windows { deny: vec![denied(weekly(&[], (2, 0), Some((2, 30))))], ..in_zone("Europe/Berlin") };
    let closes = |from: &str| windows.closes(Blast::Limited, at(from));
    assert_eq!(closes("2026-10-24T23:00:00Z"), Some(at("2026-10-25T00:00:00Z")));
    assert_eq!(closes("2026-10-25T00:15:00Z"), Some(at("2026-10-25T00:15:00Z")));
    assert_eq!(closes("2026-10-25T00:30:00Z"), Some(at("2026-10-25T01:00:00Z")), "the second pass is denied too");
    assert_eq!(closes("2026-10-25T01:29:59Z"), Some(at("2026-10-25T01:29:59Z")));
    assert_eq!(closes("2026-10-25T01:30:00Z"), Some(at("2026-10-26T01:00:00Z")));
    // Both passes begin to be denied in their middle.
    let windows = Windows { deny: vec![denied(weekly(&[], (2, 15), Some((2, 30))))], ..in_zone("Europe/Berlin") };
    let closes = |from: &str| windows.closes(Blast::Limited, at(from));
    assert_eq!(closes("2026-10-25T00:00:00Z"), Some(at("2026-10-25T00:15:00Z")));
    assert_eq!(closes("2026-10-25T00:30:00Z"), Some(at("2026-10-25T01:15:00Z")));
    // The end of what is allowed counts in the first pass.
    let windows = Windows { allow: Some(vec![weekly(&[], (22, 0), Some((2, 30)))]), ..in_zone("Europe/Berlin") };
    assert_eq!(windows.closes(Blast::Full, at("2026-10-24T22:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
    // Lord Howe's clocks go back by half an hour, at 02:00 on 5 April 2026.
    let windows = Windows { deny: vec![denied(weekly(&[], (1, 30), Some((1, 45))))], ..in_zone("Australia/Lord_Howe") };
    let closes = |from: &str| windows.closes(Blast::Limited, at(from));
    assert_eq!(closes("2026-04-04T14:00:00Z"), Some(at("2026-04-04T14:30:00Z")));
    assert_eq!(closes("2026-04-04T14:45:00Z"), Some(at("2026-04-04T15:00:00Z")));
}

/// Whether each minute of the week is held, Monday's first.
fn minutes(weekly: &Weekly) -> Vec<bool> {
    let mut held = vec![false; 7 * 1_440];
    let minute =
        |time: TimeOfDay| usize::from(time.hour().unsigned_abs()) * 60 + usize::from(time.minute().unsigned_abs());
    let from = minute(weekly.from);
    let to = weekly.to.map_or(1_440, minute);
    let length = if to > from { to - from } else { to + 1_440 - from };
    for day in 0..7_i8 {
        if weekly.days.is_empty() || weekly.days.contains(&Weekday::from_monday_zero_offset(day).unwrap()) {
            let start = usize::from(day.unsigned_abs()) * 1_440 + from;
            for minute in start..start + length {
                held[minute % (7 * 1_440)] = true;
            }
        }
    }
    held
}

/// The judge of single minutes.
struct Naive<'a> {
    windows: &'a Windows,
    allow: Vec<Vec<bool>>,
    deny: Vec<Vec<bool>>,
}

impl<'a> Naive<'a> {
    fn new(windows: &'a Windows) -> Naive<'a> {
        let weekly = |deny: &Deny| match &deny.when {
            DenyWhen::Weekly(weekly) => Some(minutes(weekly)),
            DenyWhen::Days(..) => None,
        };
        Naive {
            windows,
            allow: windows.allow.iter().flatten().map(minutes).collect(),
            deny: windows.deny.iter().filter_map(weekly).collect(),
        }
    }

    fn may(&self, blast: Blast, at: Time) -> bool {
        let shown = shown(&self.windows.zone, at);
        let of_day = usize::from(shown.hour().unsigned_abs()) * 60 + usize::from(shown.minute().unsigned_abs());
        let minute = usize::from(shown.weekday().to_monday_zero_offset().unsigned_abs()) * 1_440 + of_day;
        let is_day = |deny: &Deny| match deny.when {
            DenyWhen::Days(first, last) => first <= shown.date() && shown.date() <= last,
            DenyWhen::Weekly(_) => false,
        };
        if self.windows.deny.iter().any(is_day) || self.deny.iter().any(|held| held[minute]) {
            return false;
        }
        if blast == Blast::Limited {
            return true;
        }
        let allowed = match &self.windows.allow {
            None => !(540..1_080).contains(&of_day),
            Some(allow) => allow.is_empty() || self.allow.iter().any(|held| held[minute]),
        };
        allowed && !self.windows.holidays.contains(&shown.date())
    }
}

const MINUTE: Duration = Duration::from_mins(1);

/// Days on which clocks are set, in zones that set them at other times and by other steps, and Apia's day that never was.
const DAYS: [(&str, &str); 11] = [
    ("Europe/Berlin", "2026-03-29T00:00:00Z"),
    ("Europe/Berlin", "2026-10-25T00:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("America/Santiago", "2026-09-06T04:00:00Z"),
    ("America/Santiago", "2026-04-05T03:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Asia/Kathmandu", "2026-06-01T00:00:00Z"),
];

fn any_time() -> impl Strategy<Value = TimeOfDay> {
    // Near the hours at which clocks are set, or anywhere.
    prop_oneof![(0..4_i8, 0..60_i8), (0..24_i8, 0..60_i8)].prop_map(|(hour, minute)| day_time(hour, minute))
}

fn any_weekly() -> impl Strategy<Value = Weekly> {
    let days = prop::collection::vec((0..7_i8).prop_map(|day| Weekday::from_monday_zero_offset(day).unwrap()), 0..5);
    (days, any_time(), prop::option::weighted(0.9, any_time())).prop_map(|(days, from, to)| Weekly { days, from, to })
}

fn any_windows() -> impl Strategy<Value = (Windows, Time)> {
    let day = -2..3_i64;
    let deny = prop_oneof![
        3 => any_weekly().prop_map(|weekly| (Some(weekly), 0, 0)),
        1 => (day.clone(), 0..2_i64).prop_map(|(first, more)| (None, first, more)),
    ];
    (
        0..DAYS.len(),
        prop::option::of(prop::collection::vec(any_weekly(), 0..4)),
        prop::collection::vec(deny, 0..3),
        prop::collection::vec(day, 0..2),
    )
        .prop_map(|(place, allow, deny, holidays)| {
            let (name, change) = DAYS[place];
            let zone = zone(name).unwrap();
            let today = shown(&zone, at(change)).date();
            let day = |days: i64| today.saturating_add(jiff::Span::new().days(days));
            let deny = deny.into_iter().map(|(weekly, first, more)| Deny {
                when: weekly.map_or_else(|| DenyWhen::Days(day(first), day(first + more)), DenyWhen::Weekly),
                reason: None,
            });
            let holidays = holidays.into_iter().map(day).collect();
            (Windows { zone, allow, deny: deny.collect(), holidays }, at(change))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn windows_are_as_the_judge_of_single_minutes_says(
        (windows, change) in any_windows(),
        before in 0..2_880_u32,
        length in 1..900_u32,
        blast in prop_oneof![Just(Blast::Limited), Just(Blast::Moderate), Just(Blast::Full)],
    ) {
        let naive = Naive::new(&windows);
        let from = change + 1_440 * MINUTE - before * MINUTE;
        let until = from + length * MINUTE;
        let all = (0..length).all(|minute| naive.may(blast, from + minute * MINUTE));
        prop_assert_eq!(windows.check(blast, from, until).is_ok(), all);
        let closes = (0..8 * 1_440).map(|minute| from + minute * MINUTE).find(|at| !naive.may(blast, *at));
        prop_assert_eq!(windows.closes(blast, from), closes);
    }
}
