//! What was counted, as it rests: figures of both arms by stretches of time.

use std::time::Duration;

use crate::chaos::arms::{Arms, Beat};
use crate::chaos::record::{Phase, Run, Slice, read_latency, write_latency};
use crate::time::Time;

/// Most slices of a run, besides one for each phase.
pub const SLICES_MAX: u32 = 360;
/// The length of a slice, where a run is not so long that they are longer.
const LENGTH: u32 = 10;

/// How long the slices of a run are: all alike, in seconds.
fn length(run: &Run) -> u32 {
    let experiment = &run.experiment;
    let whole = (experiment.lead_in + experiment.duration + experiment.recovery).as_secs();
    let steps = whole.div_ceil(u64::from(SLICES_MAX * LENGTH)).max(1);
    LENGTH.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

/// When a phase of a run began.
fn began(run: &Run, phase: Phase) -> Option<Time> {
    match phase {
        Phase::LeadIn => Some(run.started),
        Phase::Injecting => run.injected,
        Phase::Recovering => run.withdrawn,
        Phase::Ended => run.ended,
    }
}

/// When a phase of a run was over; what is told of it later is of its last moment.
fn over(run: &Run, phase: Phase) -> Option<Time> {
    match phase {
        Phase::LeadIn => run.injected.or(run.withdrawn),
        Phase::Injecting => run.withdrawn,
        Phase::Recovering | Phase::Ended => run.ended,
    }
}

/// Adds what was counted up to a moment.
pub(super) fn add(run: &mut Run, phase: Phase, beat: &Beat) {
    let Some(began) = began(run, phase) else { return };
    let seconds = length(run);
    // What came up to the very end of a slice is the slice's own.
    let since = over(run, phase).unwrap_or(Time::MAX).min(beat.at).since(began).saturating_sub(Duration::from_nanos(1));
    let at = began + Duration::from_secs(since.as_secs() / u64::from(seconds) * u64::from(seconds));
    let last = run.slices.iter_mut().rev().find(|it| it.phase == phase);
    let slice = match last {
        // A clock that was set back adds to the last.
        Some(last) if last.at >= at => last,
        _ => {
            // What is said late of a phase comes before the slices of the next.
            let place = run.slices.iter().rposition(|it| it.phase <= phase).map_or(0, |place| place + 1);
            run.slices.insert(place, empty(at, seconds, phase));
            &mut run.slices[place]
        }
    };
    add_arms(slice, &beat.arms);
    slice.spared += beat.spared;
    for (mine, theirs) in slice.sent.iter_mut().zip(beat.sent) {
        *mine += theirs;
    }
}

fn empty(at: Time, seconds: u32, phase: Phase) -> Slice {
    Slice {
        at,
        seconds,
        phase,
        requests: [0; 2],
        injected: 0,
        unanswered: [0; 2],
        levels: [[0; 5]; 2],
        injected_levels: [0; 5],
        latency: [String::new(), String::new()],
        spared: 0,
        sent: [0; 2],
    }
}

fn add_arms(slice: &mut Slice, arms: &Arms) {
    for (arm, counts) in arms.iter().enumerate() {
        slice.requests[arm] += counts.requests;
        slice.unanswered[arm] += counts.unanswered;
        for (mine, theirs) in slice.levels[arm].iter_mut().zip(counts.levels) {
            *mine += theirs;
        }
        if counts.latency.count() > 0 {
            let mut latency = read_latency(&slice.latency[arm]).unwrap_or_default();
            latency.merge(&counts.latency);
            slice.latency[arm] = write_latency(&latency);
        }
    }
    let touched = &arms[1];
    slice.injected += touched.injected;
    for (mine, theirs) in slice.injected_levels.iter_mut().zip(touched.injected_levels) {
        *mine += theirs;
    }
}

/// Unanswered requests and all of a phase, by arm.
pub(super) fn shares(run: &Run, phase: Phase) -> [(u64, u64); 2] {
    let mut sums = [(0, 0); 2];
    for slice in run.slices.iter().filter(|it| it.phase == phase) {
        for (arm, sum) in sums.iter_mut().enumerate() {
            sum.0 += slice.unanswered[arm];
            sum.1 += slice.requests[arm];
        }
    }
    sums
}
