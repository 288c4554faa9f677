//! Second calls beside late ones.

use mainstay_core::plan::{Backend, PathMatch, Plan, Route};
use mainstay_core::resilience::hedge::Config;
use mainstay_core::route::Protocol;

use super::{no_effect, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::route as raw;
use crate::read::Reader;
use crate::span::At;

/// More than the retry budget allows (a tenth) is never granted.
const SHARE_MAX: f64 = 0.1;
/// Half of all calls are no late ones.
const QUANTILE_MIN: f64 = 0.5;

/// What is hedged; `None`: nothing is.
#[expect(clippy::option_option, reason = "absent, and refused")]
pub(super) fn hedge(raw: Option<&At<raw::HedgeWord>>, reader: &mut Reader<'_>) -> Option<Option<Config>> {
    let Some(At { value: raw::HedgeWord::Within(raw), .. }) = raw else { return Some(None) };
    let default = Config::default();
    let (share, quantile) = (raw.share.as_ref(), raw.quantile.as_ref());
    let bad_share = share.filter(|it| it.value <= 0.0 || it.value > SHARE_MAX);
    if let Some(at) = bad_share {
        let finding = Finding::new(Code::OutOfRange, at.span, "the share of hedges is above 0 and at most 10%");
        reader.report(finding.help("they share the retry budget, which is 10% of the calls"));
    }
    let bad_quantile = quantile.filter(|it| it.value < QUANTILE_MIN || it.value >= 1.0);
    if let Some(at) = bad_quantile {
        let finding = Finding::new(Code::OutOfRange, at.span, "the quantile of hedges is from 0.5 to below 1");
        reader.report(finding.help("such as 0.95: the slowest twentieth is late"));
    }
    let config =
        Config { share: value_or(share, default.share), quantile: value_or(quantile, default.quantile), ..default };
    (bad_share.is_none() && bad_quantile.is_none()).then_some(Some(config))
}

/// Whether calls of routes that hedge can be hedged at all.
pub(super) fn references(raw: Option<&At<Vec<At<raw::Route>>>>, plan: &Plan, reader: &mut Reader<'_>) {
    for (raw, route) in raw.iter().flat_map(|raw| &raw.value).zip(&plan.routes) {
        check(&raw.value, route, &plan.backends, reader);
    }
}

fn check(raw: &raw::Route, route: &Route, backends: &[Backend], reader: &mut Reader<'_>) {
    let Some(At { value: raw::HedgeWord::Within(hedge), span }) = &raw.hedge else { return };
    let repeatable = hedge.repeatable.as_ref();
    if let Some(flag) = repeatable.filter(|_| route.protocol != Protocol::Http) {
        no_effect(flag.span, "`repeatable` is for plain HTTP: elsewhere it is known which requests are", reader);
    }
    let (why, help) = if is_stream(route) {
        ("streams over gRPC are not hedged", "leave `hedge` out")
    } else if route.protocol == Protocol::Http && !repeatable.is_some_and(|it| it.value) {
        (
            "requests over plain HTTP may do something, and a hedge has it done twice",
            "write `hedge: { repeatable: true }` where that does no harm",
        )
    } else if !(0..route.ladder.len()).any(|entry| route.beside(entry, backends).next().is_some()) {
        (
            "no level of this route can be asked twice",
            "give a level a second backend, or its backend several `endpoints` or `keys`",
        )
    } else {
        return;
    };
    reader.report(Finding::new(Code::Hedge, *span, why).help(help));
}

/// Whether only streams of requests come to it.
fn is_stream(route: &Route) -> bool {
    let PathMatch::Exact(path) = &route.path else { return false };
    route.protocol.is_grpc() && path.ends_with("/ModelStreamInfer")
}
