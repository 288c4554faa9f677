//! What objectives of every kind have: a name, a scope, a window, a way to count.

use std::time::Duration;

use mainstay_core::expr::Program;
use mainstay_core::route::Class;
use mainstay_core::slo::objective::{Budgeting, Counted, EmptySlice, Kind, Objective, Scope, Source};
use mainstay_core::slo::window::{Calendar, Window};

use super::{Known, no_such};
use crate::code::Code;
use crate::finding::Finding;
use crate::lower::{check_name, has_window, value_or};
use crate::raw::slo as raw;
use crate::raw::slo::budgeting::BudgetingWord;
use crate::raw::slo::window::WindowWord;
use crate::read::Reader;
use crate::span::At;

/// Shortest window: a few buckets of the finest grain.
const WINDOW_MIN: Duration = Duration::from_mins(1);
/// Longest window: a leap year and a day.
const WINDOW_MAX: Duration = Duration::from_hours(367 * 24);
const SLICE: Duration = Duration::from_mins(1);
/// Shortest slice: the grain in which events are counted.
const SLICE_MIN: Duration = Duration::from_secs(10);
const SOURCE_EVERY: Duration = Duration::from_mins(1);
/// Asking more often than it is scraped tells nothing new.
const SOURCE_EVERY_MIN: Duration = Duration::from_secs(10);

/// The keys of an objective that do not depend on its kind.
#[derive(Clone, Copy, Default)]
pub(super) struct Parts<'a> {
    pub(super) name: Option<&'a At<String>>,
    pub(super) description: Option<&'a At<String>>,
    pub(super) route: Option<&'a At<String>>,
    pub(super) class: Option<&'a At<Class>>,
    pub(super) model: Option<&'a At<String>>,
    pub(super) filter: Option<&'a At<Program>>,
    pub(super) window: Option<&'a At<WindowWord>>,
    pub(super) budgeting: Option<&'a At<BudgetingWord>>,
    pub(super) policy: Option<&'a At<String>>,
}

impl Parts<'_> {
    /// The objective; `suffix` tells it from others of the same item. What is wrong is reported by [`Parts::check`].
    pub(super) fn objective(&self, kind: Kind, suffix: Option<&str>, known: &Known<'_>) -> Objective {
        let usual = Objective::new(known.service, kind);
        let name = match (self.name, suffix) {
            (Some(name), Some(suffix)) => format!("{}_{suffix}", name.value),
            (Some(name), None) => name.value.clone(),
            (None, _) => usual.name,
        };
        let budgeting = self.budgeting.map(|word| budgeting(&word.value, usual.kind.allowed_bad()));
        Objective {
            name,
            description: value_or(self.description, usual.description),
            scope: Scope {
                route: self.route.map(|route| route.value.clone()),
                class: self.class.map(|class| class.value),
                model: self.model.map(|model| model.value.clone()),
                filter: self.filter.map(|filter| filter.value.clone()),
            },
            window: self.window.and_then(|at| window(&at.value)).unwrap_or(usual.window),
            budgeting: budgeting.unwrap_or(usual.budgeting),
            policy: self.policy.map(|policy| policy.value.clone()),
            kind: usual.kind,
        }
    }

    /// Reports what is wrong with the parts, once for all objectives of an item.
    pub(super) fn check(&self, known: &Known<'_>, reader: &mut Reader<'_>) {
        if let Some(name) = self.name {
            check_name(name, "an objective", reader);
        }
        if let (Some(route), Some(routes)) = (self.route, known.routes)
            && !routes.contains(&route.value.as_str())
        {
            no_such(route, "route", routes, reader);
        }
        if let Some(at) = self.window {
            check_window(at, reader);
        }
        if let Some(at) = self.budgeting {
            check_slices(at, self.window, reader);
        }
    }
}

fn window(word: &WindowWord) -> Option<Window> {
    match word {
        WindowWord::Rolling(length) => Some(Window::Rolling(*length)),
        WindowWord::Calendar(raw) => {
            let zone = raw.zone.as_ref().map_or("UTC", |zone| zone.value.as_str());
            Calendar::new(raw.calendar.as_ref()?.value, zone).ok().map(Window::Calendar)
        }
    }
}

fn check_window(at: &At<WindowWord>, reader: &mut Reader<'_>) {
    match &at.value {
        WindowWord::Rolling(length) if *length < WINDOW_MIN || *length > WINDOW_MAX => {
            let message = "a window is from 1m to 367d";
            reader.report(Finding::new(Code::OutOfRange, at.span, message).help("such as `30d`"));
        }
        WindowWord::Rolling(_) => {}
        WindowWord::Calendar(raw) => {
            let zone = raw.zone.as_ref();
            if let Some((zone, error)) =
                zone.and_then(|zone| Some((zone, mainstay_core::slo::window::zone(&zone.value).err()?)))
            {
                reader.report(Finding::new(Code::Zone, zone.span, error.to_string()).help("such as `Europe/Berlin`"));
            }
        }
    }
}

fn budgeting(word: &BudgetingWord, allowed_bad: f64) -> Budgeting {
    match word {
        BudgetingWord::Occurrences => Budgeting::Occurrences,
        BudgetingWord::Timeslices(raw) => Budgeting::TimeSlices {
            slice: value_or(raw.window.as_ref(), SLICE),
            good_from: value_or(raw.target.as_ref(), 1.0 - allowed_bad),
            empty: value_or(raw.empty.as_ref(), EmptySlice::Ignored),
            events_least: value_or(raw.min_events.as_ref(), 1),
        },
        BudgetingWord::RatioTimeslices(raw) => {
            Budgeting::RatioTimeSlices { slice: value_or(raw.window.as_ref(), SLICE) }
        }
    }
}

fn check_slices(at: &At<BudgetingWord>, window: Option<&At<WindowWord>>, reader: &mut Reader<'_>) {
    let (slice, target) = match &at.value {
        BudgetingWord::Occurrences => return,
        BudgetingWord::Timeslices(raw) => (raw.window.as_ref(), raw.target.as_ref()),
        BudgetingWord::RatioTimeslices(raw) => (raw.window.as_ref(), None),
    };
    if let Some(target) = target.filter(|target| target.value <= 0.0) {
        super::impossible(target.span, "a slice would be good whatever happens", "such as `95%`", reader);
    }
    let Some(slice) = slice else { return };
    let grain = SLICE_MIN.as_nanos();
    if !slice.value.as_nanos().is_multiple_of(grain) || slice.value > Duration::from_hours(1) {
        let message = "a slice is a multiple of 10s, and at most 1h";
        reader.report(Finding::new(Code::OutOfRange, slice.span, message).help("events are counted by 10s"));
    }
    if let Some(WindowWord::Rolling(length)) = window.map(|window| &window.value)
        && slice.value * 2 > *length
    {
        let message = "a window holds at least two slices";
        reader.report(Finding::new(Code::Order, slice.span, message).help("a shorter slice, or a longer window"));
    }
}

/// Where another system counts.
pub(super) fn source(at: &At<raw::Source>, reader: &mut Reader<'_>) -> Option<Source> {
    let raw = &at.value;
    let counted = match (&raw.good, &raw.bad) {
        (Some(good), None) => Some((good, Counted::Good(good.value.clone()))),
        (None, Some(bad)) => Some((bad, Counted::Bad(bad.value.clone()))),
        (None, None) if raw.given.contains("good") || raw.given.contains("bad") => None,
        (Some(_), Some(_)) | (None, None) => {
            let message = "a source counts `total` and exactly one of `good` and `bad`";
            reader.report(Finding::new(Code::ExactlyOne, at.span, message));
            None
        }
    };
    for text in [counted.as_ref().map(|(text, _)| *text), raw.total.as_ref()].into_iter().flatten() {
        expression(text, reader);
    }
    let every = value_or(raw.every.as_ref(), SOURCE_EVERY);
    if let Some(written) = raw.every.as_ref().filter(|_| every < SOURCE_EVERY_MIN) {
        reader.report(Finding::new(Code::OutOfRange, written.span, "a source is asked every 10s at most"));
    }
    Some(Source {
        prometheus: raw.prometheus.as_ref()?.value.clone(),
        counted: counted?.1,
        total: raw.total.as_ref()?.value.clone(),
        every,
    })
}

/// An expression is Prometheus's to judge; two mistakes can be seen from here.
fn expression(text: &At<String>, reader: &mut Reader<'_>) {
    if text.value.trim().is_empty() {
        super::super::empty(text.span, "the expression", reader);
    } else if !has_window(&text.value) && text.value.contains('(') {
        let message = "an expression that is more than a counter needs `$window`";
        let help = "`sum(increase(requests_total[$window]))`";
        reader.report(Finding::new(Code::BareCounter, text.span, message).help(help));
    } else if has_window(&text.value) && text.value.contains("rate(") {
        let message = "a rate is per second, and a budget counts events";
        reader.report(Finding::new(Code::BareCounter, text.span, message).help("`increase(..[$window])`"));
    }
}
