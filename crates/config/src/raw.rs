//! The shape of `mainstay.yaml`: each key, what it takes, what it is without.

pub(crate) mod admin;
pub(crate) mod backend;
pub(crate) mod chaos;
pub(crate) mod experiment;
pub(crate) mod features;
pub(crate) mod incidents;
pub(crate) mod local;
pub(crate) mod notify;
pub(crate) mod observability;
pub(crate) mod oncall;
pub(crate) mod policy;
pub(crate) mod retention;
pub(crate) mod route;
pub(crate) mod safety;
pub(crate) mod slo;
pub(crate) mod training;
pub(crate) mod watch;

use mainstay_core::plan::Environment;

use crate::read::{Json, List, Named, Text, choice, section};
use crate::values::{ClassNumber, Dur, File, Header, Listen, Network, Rate, SecretRef, Size, Whole};

section! {
    /// The config of mainstay.
    Root = "the config" {
        /// The service's name: it prefixes objectives and labels logs.
        service (required): Text,
        /// Where this runs. Default: production.
        environment: EnvironmentName,
        /// Where the data plane listens. Default: 127.0.0.1:8080.
        listen: Listen,
        /// The admin API and the metrics.
        admin: admin::Admin,
        /// Where state rests: `sqlite:PATH`. Default: sqlite:mainstay.db.
        store: Text,
        /// What stays in the store, and how long.
        retention: retention::Retention,
        /// TLS of the data plane. Default: none.
        tls: Tls,
        /// Bounds of the data plane.
        limits: Limits,
        /// Who may call, by name. Default: anyone.
        clients: Named<Client>,
        /// Whose headers are believed. Default: callers on this machine, and no headers.
        trust: Trust,
        /// Classes by the name that `x-gateway-inference-objective` carries.
        objectives: Named<ClassNumber>,
        /// What answers requests, by name.
        backends: Named<backend::Backend>,
        /// Sets of features from a feature store, by name.
        features: Named<features::FeatureSet>,
        /// The routes; the first whose path fits takes a request, an exact path before a prefix.
        routes (required): List<route::Route>,
        /// The service level objectives.
        slos: List<slo::Slo>,
        /// What spent budgets forbid, by name. An objective without a `policy` has the usual one.
        policies: Named<policy::Policy>,
        /// Maintenance that comes again and is left out of budgets, by name.
        maintenance: Named<policy::Maintenance>,
        /// What is kept of single requests, what is taken out of them, and where they go.
        observability: observability::Observability,
        /// What monitors watch of requests and answers.
        drift: watch::Drift,
        /// How labels find the predictions that they are about.
        labels: watch::Labels,
        /// Checks of what models answer.
        safety: safety::Safety,
        /// How incidents are handled.
        incidents: incidents::Incidents,
        /// Who is on call, and who is told after whom.
        oncall: oncall::OnCall,
        /// Channels that reach people, by name.
        notify: Named<notify::Channel>,
        /// When experiments may run, who has to agree, and the config's own.
        chaos: chaos::Chaos,
        /// Scenarios of game days.
        gamedays: Gamedays,
        /// What training runs do by default, and who is told of a new champion.
        training: training::Training,
        /// Reserved.
        block: Json,
    }
}

choice! {
    /// Where a service runs.
    EnvironmentName = "an environment" {
        "production" => Environment::Production,
        "staging" => Environment::Staging,
        "demo" => Environment::Demo,
    } -> Environment
}

section! {
    /// The certificate of the data plane.
    Tls = "`tls`" {
        /// PEM file with the certificate chain.
        cert (required): File,
        /// PEM file with the private key.
        key (required): File,
    }
}

section! {
    /// Bounds of the data plane.
    Limits = "`limits`" {
        /// Threads that serve requests. Default: one per core.
        workers: Whole<1, 1024>,
        /// Longest request head. Default: 64KiB.
        head: Size,
        /// Longest request body. Default: 32MiB.
        body: Size,
        /// Longest request body that is held for a second attempt. Default: 4MiB.
        replay: Size,
        /// Longest answer that is held to be read for its confidence or for the cache. Default: 4MiB.
        answer: Size,
        /// Most connections at once. Default: 20000.
        connections: Whole<1, 10_000_000>,
        /// How long a caller may take to send its head, and a connection may idle. Default: 60s.
        head_timeout: Dur,
        /// How long running requests may take after a shutdown began. Default: 30s.
        drain: Dur,
    }
}

section! {
    /// A caller.
    Client = "a client" {
        /// The key it shows as `Authorization: Bearer` or `x-api-key`.
        key (required): SecretRef,
        /// The best class it may have, 0 to 3. Default: 3.
        max_class: ClassNumber,
        /// Most requests per second. Default: unlimited.
        rate: Rate,
    }
}

section! {
    /// Whose headers are believed. From elsewhere these headers are removed before any rule sees them.
    Trust = "`trust`" {
        /// Networks of trusted callers. Default: 127.0.0.0/8 and ::1.
        from: List<Network>,
        /// Headers that only trusted callers may set. Default: none.
        headers: List<Header>,
    }
}

section! {
    /// Game days.
    Gamedays = "`gamedays`" {
        /// Files with scenarios, YAML (`.yaml`) or Markdown (`.md`), that can be run by their names. Default: none.
        scenarios: List<File>,
    }
}

/// Keys of [`Root`] that later work gives a meaning.
pub(crate) const RESERVED: [&str; 1] = ["block"];
