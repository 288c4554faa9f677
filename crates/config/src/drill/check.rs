//! What of a drill can never come out well.

use mainstay_core::drill::facts::{self, bounds};
use mainstay_core::drill::{Drill, Expectation, Happening, LENGTH_MAX, Model, REQUESTS_MAX, What};

use crate::code::Code;
use crate::finding::Finding;
use crate::read::Reader;
use crate::span::Span;

/// Puts what happens and what must hold into the drill, and reports what can never be.
pub(super) fn check(
    drill: &mut Drill,
    mut happenings: Vec<(Happening, Span)>,
    expected: Vec<(Expectation, Span)>,
    length: Span,
    reader: &mut Reader<'_>,
) {
    for (happening, span) in &happenings {
        if happening.at >= drill.length {
            let message =
                format!("this would happen at {:?}; the drill is over after {:?}", happening.at, drill.length);
            reader
                .report(Finding::new(Code::Drill, *span, message).help("let it happen earlier, or make `for` longer"));
        }
    }
    for (expectation, span) in &expected {
        if expectation.from >= expectation.to || expectation.to > drill.length {
            let message = format!(
                "this looks at the time from {:?} to {:?}; the drill lasts {:?}",
                expectation.from, expectation.to, drill.length
            );
            reader.report(Finding::new(Code::Order, *span, message).help("`from` < `to` <= `for`"));
        }
    }
    contradictions(&expected, reader);
    happenings.sort_by_key(|(happening, _)| happening.at);
    deploys(drill, &happenings, reader);
    let asks = |it: &Expectation| facts::compile(&it.holds).is_ok_and(|it| it.mentions().any(is_watched));
    drill.around.watched = !drill.plan.slos.is_empty()
        || !drill.around.people.is_empty()
        || expected.iter().any(|(expectation, _)| asks(expectation));
    drill.script = happenings.into_iter().map(|(happening, _)| happening).collect();
    drill.expect = expected.into_iter().map(|(expectation, _)| expectation).collect();
    can_end(drill, length, reader);
}

fn can_end(drill: &Drill, span: Span, reader: &mut Reader<'_>) {
    if drill.length > LENGTH_MAX {
        let message = format!("a drill of {:?} does not end: at most {LENGTH_MAX:?}", drill.length);
        reader.report(Finding::new(Code::Drill, span, message).help("shorten `for`"));
        return;
    }
    let requests = drill.requests();
    if requests > REQUESTS_MAX {
        let message = format!("a drill of {requests:.0} requests does not end: at most {REQUESTS_MAX:.0}");
        reader.report(Finding::new(Code::Drill, span, message).help("shorten `for`, or lower the rates"));
    }
}

fn is_watched(path: &[String]) -> bool {
    path.first().is_some_and(|fact| facts::WATCHED.contains(&fact.as_str()))
}

/// Deploys that meet, or that outlast the drill. The happenings are in order.
fn deploys(drill: &Drill, happenings: &[(Happening, Span)], reader: &mut Reader<'_>) {
    let mut ends = vec![None; drill.plan.backends.len()];
    for (happening, span) in happenings {
        let What::Deploy { backend, deploy } = &happening.what else { continue };
        let parts = match &drill.models[*backend] {
            Some(Model::Servers(servers)) => servers.parts,
            Some(Model::Engine(_)) | None => 1,
        };
        let over = happening.at + deploy.lasts(parts);
        let name = &drill.plan.backends[*backend].name;
        if let Some(before) = ends[*backend].replace(over).filter(|before| *before > happening.at) {
            let message = format!("the deploy of `{name}` before this one goes on until {before:?}");
            reader.report(Finding::new(Code::Drill, *span, message).help("let it happen later"));
        }
        if over > drill.length {
            let message = format!("this deploy goes on until {over:?}; the drill is over after {:?}", drill.length);
            reader
                .report(Finding::new(Code::Drill, *span, message).help("let it happen earlier, or make `for` longer"));
        }
    }
}

/// Two expectations about the same time that exclude each other.
fn contradictions(expected: &[(Expectation, Span)], reader: &mut Reader<'_>) {
    for (index, (one, _)) in expected.iter().enumerate() {
        for (other, span) in &expected[index..] {
            if (one.from, one.to) != (other.from, other.to) {
                continue;
            }
            let clash = bounds(&one.holds).into_iter().find(|(fact, mine)| {
                bounds(&other.holds).iter().any(|(of, theirs)| of == fact && facts::contradict(*mine, *theirs))
            });
            if let Some((fact, _)) = clash {
                let message = format!("no value of `{fact}` keeps both `{}` and `{}`", one.holds, other.holds);
                reader.report(Finding::new(Code::Drill, *span, message).help("drop one, or give them other times"));
            }
        }
    }
}
