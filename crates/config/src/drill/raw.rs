//! The shape of a drill: each key, and what it takes.

use mainstay_core::drill::Rate;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::code::Code;
use crate::finding::Finding;
use crate::read::{Flag, Kind, List, Named, Reader, Text, section};
use crate::tree::{Node, Value};
use crate::values::{self, Dur, Positive, Ratio, Real, Wait, Whole};

section! {
    /// A drill.
    Front = "a drill" {
        /// Its name: letters, digits, `-` and `_`.
        name (required): Text,
        /// What it is about, in a line; without it, the first heading.
        title: Text,
        /// What decides everything that is random. Default: 1.
        seed: Whole<0, { u64::MAX }>,
        /// How long it lasts, in virtual time.
        r#for (required): Dur,
        /// A file with the config, from the drill's own directory; without it, a block `config`.
        config: Text,
        /// When it begins in civil time, for whoever is on call then. Default: 2026-03-02T09:00:00Z, a Monday.
        starts: Text,
    }
}

section! {
    /// What is around the gateway.
    World = "a world" {
        /// How backends behave, by the config's names.
        backends (required): Named<Model>,
        /// Who sends requests.
        users (required): Named<Users>,
        /// How feature stores behave, by the config's names of feature sets. Default: they are well and take no time.
        features: Named<Store>,
        /// How people react to pages, by the config's names of people and of channels.
        people: Named<Reaction>,
        /// For so long before the drill everything was as promised. Default: nothing was counted before.
        before: Dur,
    }
}

section! {
    /// How a feature store behaves.
    Store = "a feature store's behaviour" {
        /// The mean time for one retrieval.
        time (required): Dur,
        /// Sigma of the log-normal law of that time. Default: 0, constant.
        spread: Real,
        /// How many entities requests are about, each as likely. Default: 1000.
        entities: Whole<1, 10_000_000>,
        /// Of how many of them the store knows nothing. Default: of none.
        gaps: Ratio,
        /// How old its values are. Default: 0s.
        age: Wait,
    }
}

section! {
    /// How somebody reacts to pages.
    Reaction = "a reaction" {
        /// How long until they say that they have it.
        acknowledges (required): Law,
        /// How long they then take to carry out what the runbook says. Default: they do not.
        mitigates: Law,
        /// How many pages they do not notice. Default: none.
        misses: Ratio,
    }
}

section! {
    /// Times by a log-normal law.
    Law = "a time" {
        /// Half of all are no longer.
        median (required): Dur,
        /// Sigma of the logarithm. Default: 0, all alike.
        spread: Real,
    }
}

section! {
    /// How the load goes up and down through a day.
    Day = "a day" {
        /// How long a day is in the drill.
        lasts (required): Dur,
        /// Multiples of the rate from midnight on, at equal distances. Default: 24 hours of a service for people.
        hours: List<Real>,
    }
}

section! {
    /// A new version comes to a backend's parts, one after the other.
    Deploy = "a deploy" {
        /// How long a part is gone.
        restart (required): Dur,
        /// How long it is cold when it is back; the next one goes then. Default: 0s.
        cold: Wait,
        /// How many times as long requests take while it is cold. Default: 1.
        slow: Positive,
        /// Whether a part ends what it works on before it goes. Default: true.
        drains: Flag,
        /// How the new version is. Default: the parts are as they were, and there is nothing to go back to.
        version: Version,
    }
}

section! {
    /// How a version is, compared with the one that the world describes.
    Version = "a version" {
        /// It takes so many times as long. Default: 1.
        slow: Positive,
        /// It fails this share of calls. Default: none.
        fail: Ratio,
    }
}

section! {
    /// How a backend behaves.
    Model = "a backend's behaviour" {
        /// How many requests it works on at once.
        servers: Whole<1, 100_000>,
        /// The mean time for one request.
        time: Dur,
        /// Sigma of the log-normal law of that time. Default: 0, constant.
        spread: Real,
        /// By which share a request takes longer for each request per server that waits. Default: 0.
        drag: Real,
        /// In how many parts the servers are, as a deploy restarts them. Default: 1.
        parts: Whole<1, 10_000>,
        /// In place of `servers`: it is the engine of a language model, and batches continuously.
        engine: Engine,
        /// How long the prompts of an engine are.
        prompt: Lengths,
        /// How long its answers are.
        output: Lengths,
        /// Some prompts are much longer.
        long: Long,
        /// When an answer of an engine is a good one.
        promise: Promise,
    }
}

section! {
    /// An engine of a language model.
    Engine = "an engine" {
        /// Most sequences at once. Default: 64.
        sequences: Whole<1, 100_000>,
        /// Tokens that its cache holds. Default: 76800.
        cache: Whole<1, { 1 << 30 }>,
        /// Most tokens of prompts in a step. Default: 2048.
        chunk: Whole<1, 1_000_000>,
        /// What every step takes. Default: 12ms.
        step: Dur,
        /// What a step takes longer for each sequence. Default: 200us.
        decode: Dur,
        /// What a step takes longer for each token of a prompt. Default: 60us.
        prefill: Dur,
    }
}

section! {
    /// Lengths in tokens.
    Lengths = "lengths" {
        /// Half of all have no more.
        median (required): Positive,
        /// Sigma of the log-normal law. Default: 0, all alike.
        spread: Real,
        /// None has more. Default: 1000000.
        max: Whole<1, { 1 << 30 }>,
    }
}

section! {
    /// Prompts that are much longer.
    Long = "long prompts" {
        /// How many of all.
        share (required): Ratio,
        /// Their tokens.
        prompt (required): Whole<1, { 1 << 30 }>,
    }
}

section! {
    /// What callers of a language model were promised.
    Promise = "a promise" {
        /// The first token comes by then. Default: 2s.
        first_token: Dur,
        /// It may take so much longer for each token of the prompt. Default: nothing.
        prompt_token: Wait,
        /// Each further token takes no longer in the mean. Default: 60ms.
        token: Dur,
    }
}

section! {
    /// Users of a route.
    Users = "users" {
        /// The route that they use.
        route (required): Text,
        /// How often they ask: `500/s`, or `1.5x` of what the first backend carries.
        rate (required): Load,
        /// What share is of class 0, 1, 2 and 3, in any unit. Default: all of class 3.
        classes: List<Real>,
        /// How often they ask again what was turned away. Default: 0.
        retries: Whole<0, 10>,
        /// How that goes up and down through a day. Default: it does not.
        day: Day,
    }
}

section! {
    /// Something that happens.
    Happening = "something that happens" {
        /// When, from the start.
        at (required): Wait,
        /// To which backend.
        backend: Text,
        /// It takes so many times as long from here on; 1: as ever.
        slow: Positive,
        /// This share of its calls is answered by an error from here on.
        fail: Ratio,
        /// Its calls are never answered from here on, or are again.
        hang: Flag,
        /// It is gone from here on, and whatever it was working on; or it is there again.
        down: Flag,
        /// A new version comes to it.
        deploy: Deploy,
        /// To which feature set's store.
        features: Text,
        /// Its values are so old from here on.
        age: Wait,
        /// To which channel.
        channel: Text,
        /// Some of its calls begin later from here on.
        stall: Late,
        /// Some answers of its engine come later from here on, from the first token on.
        first_token: Late,
        /// To which users.
        users: Text,
        /// They ask this often from here on.
        rate: Load,
        /// They are of these classes from here on.
        classes: List<Real>,
    }
}

section! {
    /// Calls that begin later, or answers that do.
    Late = "a share that is late" {
        /// How many of all; 0%: none any more.
        share (required): Ratio,
        /// How much later.
        time (required): Dur,
    }
}

section! {
    /// What must hold.
    Expectation = "an expectation" {
        /// What it is about, in a line.
        name (required): Text,
        /// The condition: CEL over measured facts.
        holds (required): Text,
        /// Facts count from here on. Default: 0s.
        from: Wait,
        /// And up to here. Default: the drill's end.
        to: Dur,
        /// Why it is known not to hold yet: it is measured and shown, and does not fail the drill.
        known: Text,
    }
}

/// A rate of requests.
pub(crate) struct Load;

impl Kind for Load {
    type Out = Rate;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Rate> {
        if let Value::Text(words) = &node.value
            && let Some(times) = words.strip_suffix('x')
        {
            let times = times.parse::<f64>().ok().filter(|times| times.is_finite() && *times >= 0.0);
            if times.is_none() {
                let message = format!("`{words}` is not a multiple of a capacity such as `1.5x`");
                reader.report(Finding::new(Code::Rate, node.span, message));
            }
            return times.map(Rate::OfCapacity);
        }
        values::Rate::read(node, reader).map(Rate::PerSecond)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(x|/(s|m|h))$" })
    }
}
