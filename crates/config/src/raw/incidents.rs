//! How incidents are handled.

use mainstay_core::incident::kind::Severity;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::read::{Flag, Kind, List, Named, Reader, Text, choice, section};
use crate::tree::{Node, Value};
use crate::values::{Address, Dur, Figure, Url, Wait};

section! {
    /// How incidents are handled.
    Incidents = "`incidents`" {
        /// Severities that page; the others notify. Default: sev1 and sev2.
        page: List<SeverityName>,
        /// How long after its last signal an incident takes in what belongs to it. Default: 15m.
        group: Wait,
        /// How long after it was resolved an incident is opened again rather than a new one. Default: 30m.
        reopen: Wait,
        /// How long every signal must rest before recovery is believed. Default: 5m.
        quiet: Wait,
        /// How long a signal that comes and goes must last before it opens an incident by itself. Default: 30s.
        hold: Wait,
        /// Resolve an incident whose recovery is believed; otherwise that is proposed to a person. Default: false.
        auto_resolve: Flag,
        /// Channels that hear of incidents that do not page, and of what becomes of all. Default: none.
        notify: List<Text>,
        /// The escalation policy of types that name none. Default: the channels of `notify` are told.
        escalation: Text,
        /// Where the dashboard is reached from outside, for links in notices.
        link: Url,
        /// An address that is called all the time, so that somebody else notices when mainstay is gone.
        heartbeat: Heartbeat,
        /// How long an action has effect, unless whoever approves it says otherwise; at most 7d. Default: 1h.
        action: Dur,
        /// Bounds of the means of posted signals over the last day, by the signal's name, and of measures of feedback loops. Default: those of
        /// the measures, see docs/quality.md.
        bounds: Named<SignalBound>,
        /// What differs by type, and types of your own, by name.
        types: Named<IncidentType>,
    }
}

choice! {
    /// How bad an incident is.
    SeverityName = "a severity" {
        "sev1" => Severity::Sev1,
        "sev2" => Severity::Sev2,
        "sev3" => Severity::Sev3,
        "sev4" => Severity::Sev4,
    } -> Severity
}

section! {
    /// Who notices when mainstay is gone.
    Heartbeat = "`heartbeat`" {
        /// The address.
        url (required): Address,
        /// How often it is called. Default: 1m.
        every: Dur,
    }
}

section! {
    /// A bound. It is crossed where all of the mean's 95 % interval is beyond it.
    SignalBound = "a bound" {
        /// It may not be above.
        above: Figure,
        /// It may not be below.
        below: Figure,
    }
}

section! {
    /// What differs from what mainstay knows of a type; lists are added to what it knows.
    IncidentType = "a type of incidents" {
        /// Its name for people.
        title: Text,
        /// The escalation policy.
        escalation: Text,
        /// The severity that it has at least.
        severity: SeverityName,
        /// Actions that are taken without asking: pin_level, cached_features, previous_model, raise_sampling.
        auto: List<Text>,
        /// More signals.
        signals: List<AddedSignal>,
        /// More typical causes.
        causes: List<Text>,
        /// More steps of an investigation.
        steps: List<Text>,
        /// More questions of a review.
        questions: List<Text>,
        /// More ideas for prevention.
        prevention: List<Text>,
    }
}

section! {
    /// A signal that is added to a type.
    AddedSignal = "a signal" {
        /// Its name.
        name (required): Text,
        /// The kind of fact that it looks for, such as alert or slo_burn.
        fact (required): Text,
        /// Words that the fact must carry, by their names: a value, or several of which one must hold.
        with: Named<Words>,
        /// Whether it opens an incident by itself. Default: false.
        opens: Flag,
    }
}

/// A text, or several.
pub(crate) struct Words;

impl Kind for Words {
    type Out = Vec<String>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<String>> {
        match &node.value {
            Value::List(_) => {
                let words = List::<Text>::read(node, reader)?;
                Some(words.into_iter().map(|word| word.value).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                Text::read(node, reader).map(|word| vec![word])
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Text::schema(generator), List::<Text>::schema(generator)] })
    }
}
