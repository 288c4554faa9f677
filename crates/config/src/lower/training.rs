//! `training`: gates compile, and a model is told of by exactly one thing.

use std::time::Duration;

use mainstay_core::plan::{Hook, HookBy, RunDefaults, Training};
use mainstay_core::training::gate::Gate;

use super::{check_name, empty, entries, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::training as raw;
use crate::read::{Entry, Reader};
use crate::span::At;

const HOOK_TIMEOUT: Duration = Duration::from_mins(1);
/// A promotion waits for its hook, and others for the promotion.
const HOOK_TIMEOUT_MAX: Duration = Duration::from_mins(10);

pub(super) fn training(raw: Option<&At<raw::Training>>, reader: &mut Reader<'_>) -> Training {
    let Some(At { value: raw, .. }) = raw else { return Training::default() };
    let limits = raw.limits.as_ref().map(|limits| &limits.value);
    let hooks = entries(raw.models.as_ref()).iter();
    let hooks = hooks.filter_map(|entry| Some((entry.name.value.clone(), hook(entry, reader)?))).collect();
    let run = RunDefaults {
        checkpoints: value(raw.checkpoints.clone()),
        checkpoint_every: value(raw.checkpoint_every.clone()),
        validate_every: value(raw.validate_every.clone()),
        retries: value(raw.retries.clone()).map(|retries| retries as u32),
        timeout: value(raw.timeout.clone()),
        memory: limits.and_then(|limits| value(limits.memory.clone())).map(|memory| memory as u64),
        cpu: limits.and_then(|limits| value(limits.cpu.clone())),
        files: limits.and_then(|limits| value(limits.files.clone())),
        gates: gates(raw.gates.as_ref(), reader),
        rollback_on_failure: value(raw.rollback_on_failure.clone()),
        model: value(raw.model.clone()),
    };
    Training { hooks, run }
}

fn gates(raw: Option<&At<Vec<At<String>>>>, reader: &mut Reader<'_>) -> Vec<String> {
    let gates = raw.map_or(&[][..], |gates| &gates.value);
    for gate in gates {
        if let Err(error) = Gate::parse(&gate.value) {
            let finding = Finding::new(Code::CelCompile, gate.span, error.to_string());
            reader.report(finding.help("such as `metrics.accuracy >= 0.95`, or `cmd:./load-test.sh`"));
        }
    }
    gates.iter().map(|gate| gate.value.clone()).collect()
}

fn hook(entry: &Entry<raw::ServedModel>, reader: &mut Reader<'_>) -> Option<Hook> {
    check_name(&entry.name, "a model", reader);
    let at = entry.value.as_ref()?;
    let raw = &at.value;
    if raw.given.contains("command") == raw.given.contains("http") {
        let message = "whoever serves a model is told by a `command` or by `http`";
        reader.report(Finding::new(Code::ExactlyOne, at.span, message).help("give one of them"));
        return None;
    }
    if let Some(timeout) = raw.timeout.as_ref().filter(|timeout| timeout.value > HOOK_TIMEOUT_MAX) {
        let message = format!("{:?} is longer than {HOOK_TIMEOUT_MAX:?}", timeout.value);
        reader.report(Finding::new(Code::OutOfRange, timeout.span, message).help("a promotion waits for it"));
    }
    let by = match (&raw.command, &raw.http) {
        (Some(command), _) => {
            if command.value.is_empty() {
                empty(command.span, "`command`", reader);
            }
            HookBy::Command(command.value.iter().map(|word| word.value.clone()).collect())
        }
        (None, Some(url)) => {
            if !url.value.starts_with("http://") {
                let message = "only http is spoken to whoever serves a model";
                reader.report(Finding::new(Code::Url, url.span, message).help("a `command` may speak anything else"));
            }
            HookBy::Http(url.value.clone())
        }
        (None, None) => return None,
    };
    Some(Hook { by, timeout: value_or(raw.timeout.as_ref(), HOOK_TIMEOUT) })
}
