//! A gateway that runs a config, as `serve` starts it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mainstay_core::event::{Event, EventKind};
use mainstay_core::metric::Value;
use mainstay_core::plan::{CheckBy, Plan, Secret, SecretSource};
use mainstay_core::status::{BackendStatus, RouteStatus, Status};
use mainstay_core::time::Time;
use mainstay_gateway::{EventSink, Gateway, StartError};
use mainstay_tower::clock::Clock;

use super::until;

const HEAD: &str = "service: test\nlisten: 127.0.0.1:0\nadmin: { listen: '127.0.0.1:0' }\n";

/// A running gateway.
pub(crate) struct Plane {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) clock: Clock,
    events: Receiver<Event>,
}

/// The plan of a config, its secrets resolved: the value of `env:NAME` is `NAME`.
pub(crate) fn plan(config: &str) -> Plan {
    let text = format!("{HEAD}{config}");
    let (plan, findings) = mainstay_config::load(&text);
    let mut plan = plan.unwrap_or_else(|| panic!("{}", mainstay_config::render(&findings, "test", &text, false)));
    let clients = plan.clients.values_mut().map(|c| &mut c.key);
    let checks = plan.checks.iter_mut().filter_map(|check| match &mut check.by {
        CheckBy::Moderation(server) => server.key.as_mut(),
        CheckBy::Rule(_) | CheckBy::Patterns(_) => None,
    });
    clients.chain(plan.backends.iter_mut().flat_map(|b| &mut b.keys)).chain(checks).for_each(resolve);
    if !config.contains("drain:") {
        plan.limits.drain = Duration::from_secs(5);
    }
    plan
}

fn resolve(secret: &mut Secret) {
    let name = match &secret.source {
        SecretSource::Env(name) => name.clone(),
        SecretSource::File(path) => path.display().to_string(),
        SecretSource::Written => return,
    };
    secret.resolve(name);
}

impl Plane {
    pub(crate) fn start(config: &str) -> Plane {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let clock = Clock::anchored(Time::ZERO + now);
        let (sink, events) = EventSink::channel(4096);
        let gateway = Gateway::start(Arc::new(plan(config)), clock, 7, sink).expect("it starts");
        Plane { gateway: Arc::new(gateway), clock, events }
    }

    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        self.gateway.local_addr()
    }

    pub(crate) fn reload(&self, config: &str) -> Result<(), StartError> {
        self.gateway.reload(Arc::new(plan(config)))
    }

    pub(crate) fn backend(&self, name: &str) -> BackendStatus {
        let found = self.gateway.status().backends.into_iter().find(|b| b.name == name);
        found.unwrap_or_else(|| panic!("no backend {name}"))
    }

    pub(crate) fn route(&self, name: &str) -> RouteStatus {
        let found = self.gateway.status().routes.into_iter().find(|r| r.name == name);
        found.unwrap_or_else(|| panic!("no route {name}"))
    }

    /// Waits until the status is as it shall be.
    pub(crate) async fn status(&self, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
        until(what, || Some(self.gateway.status()).filter(&holds)).await
    }

    /// Waits until a backend is as it shall be.
    pub(crate) async fn backend_is(&self, name: &str, what: &str, holds: impl Fn(&BackendStatus) -> bool) {
        until(what, || holds(&self.backend(name)).then_some(())).await;
    }

    /// The sum of a family's samples that carry these labels; of a histogram, how many were observed.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.gateway.metrics();
        let family = families.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no metric {name}"));
        let has = |of: &[(&str, String)], (name, value): &(&str, &str)| of.iter().any(|(n, v)| n == name && v == value);
        let wanted = family.samples.iter().filter(|s| labels.iter().all(|label| has(&s.labels, label)));
        wanted
            .map(|sample| match &sample.value {
                Value::Count(n) => *n as f64,
                Value::Gauge(n) => *n,
                Value::Histogram(h) => h.count() as f64,
            })
            .sum()
    }

    /// Waits until a metric has this value. Workers hand their counts over a few times a second.
    pub(crate) async fn counted(&self, name: &str, labels: &[(&str, &str)], wanted: u32) {
        let began = Instant::now();
        loop {
            let found = self.metric(name, labels);
            if found == f64::from(wanted) {
                return;
            }
            let late = began.elapsed() > Duration::from_secs(5);
            assert!(!late, "{name}{labels:?} is {found}, not {wanted}: {:#?}", self.samples(name));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn samples(&self, name: &str) -> Vec<String> {
        let families = self.gateway.metrics();
        let of = families.iter().filter(|f| f.name == name).flat_map(|f| &f.samples);
        of.map(|s| format!("{:?} {:?}", s.labels, s.value)).collect()
    }

    /// What happened since the last call.
    pub(crate) fn events(&self) -> Vec<EventKind> {
        self.events.try_iter().map(|event| event.kind).collect()
    }

    /// Waits until nothing is under way, then shuts down; both have to be quick, otherwise something was leaked.
    pub(crate) async fn close(self) {
        let idle =
            |b: &BackendStatus| b.in_flight == 0 && b.waiting == 0 && b.endpoints.iter().all(|e| e.in_flight == 0);
        self.status("idle backends", |status| status.backends.iter().all(idle)).await;
        let began = Instant::now();
        let gateway = Arc::clone(&self.gateway);
        let drain = gateway.plan().limits.drain;
        tokio::task::spawn_blocking(move || gateway.shutdown()).await.expect("no worker panics");
        assert!(began.elapsed() < drain.max(Duration::from_secs(3)), "a connection outlived the shutdown");
    }
}

/// A scratch file of this test run.
pub(crate) fn file(name: &str, content: &str) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, content).expect("a file can be written");
    path
}
