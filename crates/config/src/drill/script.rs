//! What happens in a drill: each item of its script.

use mainstay_core::drill::{Deploy, Drill, Happening, Model, StoreTurn, Version, What};

use super::{index, raw, shares};
use crate::code::Code;
use crate::finding::Finding;
use crate::read::Reader;
use crate::span::{At, Span};

/// Whom it happens to: indices into the plan's backends, feature sets and channels, and the drill's users.
#[derive(Default)]
struct Whom {
    backend: Option<usize>,
    features: Option<usize>,
    channel: Option<usize>,
    users: Option<usize>,
}

pub(super) fn happening(
    raw: At<raw::Happening>,
    drill: &Drill,
    users: &[String],
    reader: &mut Reader<'_>,
) -> Option<(Happening, Span)> {
    let At { value: raw, span } = raw;
    let whom = whom(&raw, drill, users, reader)?;
    let classes = match &raw.classes {
        Some(written) => Some(shares(written, reader)?),
        None => None,
    };
    let rate = raw.rate.as_ref().map(|it| it.value);
    let what = match whom {
        _ if given(&raw) != 1 => None,
        Whom { backend: Some(backend), features: None, channel: None, users: None } => {
            has_first_tokens(&raw, backend, drill, reader)?;
            to_backend(&raw, backend)
        }
        Whom { backend: None, features: Some(set), channel: None, users: None } => to_store(&raw, set),
        Whom { backend: None, features: None, channel: Some(channel), users: None } => {
            raw.down.as_ref().map(|down| What::Channel { channel, down: down.value })
        }
        Whom { backend: None, features: None, channel: None, users: Some(users) } => match (rate, classes) {
            (Some(rate), None) => Some(What::Load { users, rate }),
            (None, Some(classes)) => Some(What::Mix { users, classes }),
            _ => None,
        },
        _ => None,
    };
    if what.is_none() {
        let message = "one thing happens to one backend, feature set, channel or group of users";
        let help = "`backend` and one of `slow`, `fail`, `hang`, `down`, `deploy`, `stall`, `first_token`; `features` and one of `slow`, \
                    `fail`, `hang`, `down`, `age`; `channel` and `down`; or `users` and one of `rate`, `classes`";
        reader.report(Finding::new(Code::ExactlyOne, span, message).help(help));
    }
    Some((Happening { at: raw.at?.value, what: what? }, span))
}

/// How many things are said to happen.
fn given(raw: &raw::Happening) -> usize {
    let all = ["slow", "fail", "hang", "down", "deploy", "stall", "first_token", "age", "rate", "classes"];
    all.iter().filter(|key| raw.given.contains(*key)).count()
}

fn whom(raw: &raw::Happening, drill: &Drill, users: &[String], reader: &mut Reader<'_>) -> Option<Whom> {
    let plan = &drill.plan;
    let mut whom = Whom::default();
    if let Some(name) = &raw.backend {
        let names: Vec<&str> = plan.backends.iter().map(|backend| backend.name.as_str()).collect();
        whom.backend = Some(index(name, &names, "backend", reader)?);
    }
    if let Some(name) = &raw.features {
        let names: Vec<&str> = plan.features.iter().map(|set| set.name.as_str()).collect();
        let at = index(name, &names, "feature set", reader)?;
        if drill.around.stores.get(at).is_none_or(Option::is_none) {
            let message = format!("the world says nothing of the features `{}`", name.value);
            reader.report(Finding::new(Code::NoSuch, name.span, message).help("describe them under `features`"));
            return None;
        }
        whom.features = Some(at);
    }
    if let Some(name) = &raw.channel {
        let names: Vec<&str> = plan.incidents.channels.iter().map(|channel| channel.name.as_str()).collect();
        whom.channel = Some(index(name, &names, "channel", reader)?);
    }
    if let Some(name) = &raw.users {
        let names: Vec<&str> = users.iter().map(String::as_str).collect();
        whom.users = Some(index(name, &names, "group of users", reader)?);
    }
    Some(whom)
}

/// First tokens come from engines only.
fn has_first_tokens(raw: &raw::Happening, backend: usize, drill: &Drill, reader: &mut Reader<'_>) -> Option<()> {
    let Some(late) = raw.first_token.as_ref().filter(|_| !matches!(drill.models[backend], Some(Model::Engine(_))))
    else {
        return Some(());
    };
    let message =
        format!("the answers of `{}` have no first token: it is no engine", drill.plan.backends[backend].name);
    let help = "describe it in the world as an `engine`, or let its calls begin later: `stall`";
    reader.report(Finding::new(Code::Drill, late.span, message).help(help));
    None
}

fn to_backend(raw: &raw::Happening, backend: usize) -> Option<What> {
    let late = |late: &raw::Late| Some((late.share.as_ref()?.value, late.time.as_ref()?.value));
    if let Some(stall) = &raw.stall {
        return late(&stall.value).map(|(share, time)| What::Stall { backend, share, time });
    }
    if let Some(first_token) = &raw.first_token {
        return late(&first_token.value).map(|(share, time)| What::FirstToken { backend, share, time });
    }
    match (&raw.slow, &raw.fail, &raw.hang, &raw.down, &raw.deploy) {
        (Some(times), None, None, None, None) => Some(What::Slow { backend, times: times.value }),
        (None, Some(share), None, None, None) => Some(What::Fail { backend, share: share.value }),
        (None, None, Some(hangs), None, None) => Some(What::Hang { backend, hangs: hangs.value }),
        (None, None, None, Some(down), None) => Some(What::Down { backend, down: down.value }),
        (None, None, None, None, Some(deploy)) => {
            let deploy = &deploy.value;
            let deploy = Deploy {
                restart: deploy.restart.as_ref()?.value,
                cold: deploy.cold.as_ref().map_or(std::time::Duration::ZERO, |it| it.value),
                slow: deploy.slow.as_ref().map_or(1.0, |it| it.value),
                drains: deploy.drains.as_ref().is_none_or(|it| it.value),
                version: deploy.version.as_ref().map(|it| Version {
                    slow: it.value.slow.as_ref().map_or(1.0, |slow| slow.value),
                    fail: it.value.fail.as_ref().map_or(0.0, |fail| fail.value),
                }),
            };
            Some(What::Deploy { backend, deploy })
        }
        _ => None,
    }
}

fn to_store(raw: &raw::Happening, set: usize) -> Option<What> {
    let turn = match (&raw.slow, &raw.fail, &raw.hang, &raw.down, &raw.age) {
        (Some(times), None, None, None, None) => StoreTurn::Slow(times.value),
        (None, Some(share), None, None, None) => StoreTurn::Fail(share.value),
        (None, None, Some(hangs), None, None) => StoreTurn::Hang(hangs.value),
        (None, None, None, Some(down), None) => StoreTurn::Down(down.value),
        (None, None, None, None, Some(age)) => StoreTurn::Age(age.value),
        _ => return None,
    };
    Some(What::Store { set, turn })
}
