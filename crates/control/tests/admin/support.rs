//! A data plane of paper, a server on a free port, and a client that says exactly what it is told to.

use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use mainstay_control::{
    Admin, ControlError, DataPlane, Deciding, Finding, Reload, ReloadReport, ReviewProblem, Reviews, Site,
};
use mainstay_core::answer::review::{Decision, Held, Line, Record, Review};
use mainstay_core::event::Event;
use mainstay_core::metric::{Family, Kind, Sample, Value};
use mainstay_core::plan::{Role, Secret, SecretSource, Token};
use mainstay_core::route::{Level, Protocol};
use mainstay_core::status::{
    BackendStatus, EndpointStatus, EntryStatus, FeatureStatus, GroupStatus, Pin, Raised, RouteStatus, Status,
};
use mainstay_core::time::Time;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

const NOW: Time = Time::from_secs(1_772_366_400);

pub(crate) struct Plane {
    /// Routes, and as many backends and feature sets.
    many: usize,
    /// Requests that were kept, the last first.
    kept: Vec<Event>,
    pin: Mutex<Option<Pin>>,
    passed: Mutex<Duration>,
    level: Mutex<u8>,
    ready: Mutex<Result<(), String>>,
    broken: AtomicBool,
    reloads: AtomicUsize,
    held: AtomicBool,
    started: Notify,
    go_on: Notify,
}

impl Plane {
    pub(crate) fn new() -> Plane {
        Plane::with_routes(1)
    }

    /// So many routes, backends and feature sets; the first ones are `score`, `primary` and `account`.
    pub(crate) fn with_routes(many: usize) -> Plane {
        Plane {
            many,
            kept: Vec::new(),
            pin: Mutex::new(None),
            passed: Mutex::default(),
            level: Mutex::default(),
            ready: Mutex::new(Ok(())),
            broken: AtomicBool::new(false),
            reloads: AtomicUsize::new(0),
            held: AtomicBool::new(false),
            started: Notify::new(),
            go_on: Notify::new(),
        }
    }

    pub(crate) fn keeping(self, kept: Vec<Event>) -> Plane {
        Plane { kept, ..self }
    }

    pub(crate) fn set_ready(&self, ready: Result<(), String>) {
        *lock(&self.ready) = ready;
    }

    /// Lets requests start at another level.
    pub(crate) fn set_level(&self, level: u8) {
        *lock(&self.level) = level;
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: Duration) {
        *lock(&self.passed) += time;
    }

    pub(crate) fn pinned(&self) -> Option<Level> {
        lock(&self.pin).as_ref().map(|pin| pin.level)
    }

    pub(crate) fn break_config(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    pub(crate) fn reloads(&self) -> usize {
        self.reloads.load(Ordering::SeqCst)
    }

    pub(crate) fn hold_reload(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    pub(crate) async fn reload_started(&self) {
        self.started.notified().await;
    }

    /// Lets a held reload go on once nobody listens at `addr`.
    pub(crate) async fn release_when_closed(self: Arc<Plane>, addr: SocketAddr) {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
        self.go_on.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

fn numbered(name: &str, n: usize) -> String {
    if n == 0 { name.to_owned() } else { format!("{name}-{n}") }
}

impl Plane {
    fn route(&self, n: usize) -> RouteStatus {
        let entry = |level: u8, name: &str, kind| EntryStatus {
            level: Level::new(level).unwrap(),
            name: name.to_owned(),
            kind,
            quality_impact: None,
            budget: None,
            answered: 3,
            late: 0,
            failures: std::collections::BTreeMap::from([("breaker_open", 4)]),
        };
        RouteStatus {
            name: numbered("score", n),
            path: "/v2/models/fraud/infer".to_owned(),
            // The last of many is below its best.
            level: Level::new(if n > 0 && n + 1 == self.many { 2 } else { *lock(&self.level) }).unwrap(),
            level_name: "full_service".to_owned(),
            reason: "healthy".to_owned(),
            pin: lock(&self.pin).clone().filter(|_| n == 0),
            served: [1, 2, 3, 4, 5],
            all_failed: 0,
            shed: 7,
            raised: Some(Raised { until: Some(NOW) }),
            blocked: 2,
            entries: vec![
                entry(0, "full_service", "backend"),
                entry(2, "cached", "backend"),
                entry(2, "rules", "rules"),
            ],
        }
    }
}

fn backend(n: usize) -> BackendStatus {
    BackendStatus {
        name: numbered("primary", n),
        protocol: Protocol::OpenInference,
        version: Some("3".to_owned()),
        healthy: Some(n != 70),
        breaker: if n == 71 { "open" } else { "closed" },
        retry_at: None,
        limit: Some(64),
        in_flight: 1,
        waiting: 0,
        endpoints: vec![EndpointStatus {
            url: "http://user:secret@127.0.0.1:9001/v2".to_owned(),
            ejected: false,
            in_flight: 1,
        }],
    }
}

fn features(n: usize) -> FeatureStatus {
    FeatureStatus {
        name: numbered("account", n),
        healthy: None,
        breaker: if n == 72 { "half_open" } else { "closed" },
        cached: 10,
        hits: 5,
        misses: 1,
        stale: 0,
    }
}

fn west() -> GroupStatus {
    let members = vec!["primary".to_owned(), "small".to_owned()];
    GroupStatus { name: "west".to_owned(), breaker: "open", retry_at: Some(NOW), members, open: 1 }
}

impl DataPlane for Plane {
    fn status(&self) -> Status {
        Status {
            at: NOW,
            service: "fraud".to_owned(),
            draining: false,
            routes: (0..self.many).map(|n| self.route(n)).collect(),
            backends: (0..self.many).map(backend).collect(),
            groups: vec![west()],
            features: (0..self.many).map(features).collect(),
            files: Vec::new(),
            reviews: Vec::new(),
        }
    }

    fn metrics(&self) -> Vec<Family> {
        let labels = vec![("route", "score".to_owned())];
        vec![Family {
            name: "mainstay_requests",
            help: "Requests",
            kind: Kind::Counter,
            samples: vec![Sample { labels, value: Value::Count(3) }],
        }]
    }

    fn kept(&self, limit: usize) -> Vec<Event> {
        self.kept.iter().take(limit).cloned().collect()
    }

    fn pin(&self, route: &str, level: Level, until: Option<Time>, reason: String) -> Result<(), ControlError> {
        if route != "score" {
            return Err(ControlError::UnknownRoute);
        }
        if level == Level::STATIC {
            return Err(ControlError::UnknownLevel);
        }
        *lock(&self.pin) = Some(Pin { level, until, reason });
        Ok(())
    }

    fn unpin(&self, route: &str) -> Result<(), ControlError> {
        if route != "score" {
            return Err(ControlError::UnknownRoute);
        }
        *lock(&self.pin) = None;
        Ok(())
    }

    fn ready(&self) -> Result<(), String> {
        lock(&self.ready).clone()
    }

    fn reload(&self) -> Reload<'_> {
        Box::pin(async {
            self.reloads.fetch_add(1, Ordering::SeqCst);
            if self.held.load(Ordering::SeqCst) {
                self.started.notify_one();
                self.go_on.notified().await;
            }
            if self.broken.load(Ordering::SeqCst) {
                let message = "unknown key `lisen`".to_owned();
                return Err(vec![Finding { code: "unknown-key".to_owned(), message, line: Some(3), help: None }]);
            }
            Ok(ReloadReport { applied: vec!["routes.score".to_owned()], needs_restart: vec!["listen".to_owned()] })
        })
    }

    fn now(&self) -> Time {
        NOW + *lock(&self.passed)
    }
}

/// A desk with two requests in the queue `risk`.
struct Desk(Mutex<Line>);

impl Desk {
    fn new() -> Desk {
        let held = |number: u64| Held {
            at: NOW,
            route: "score".to_owned(),
            client: String::new(),
            request_id: format!("r{number}"),
            reason: "timeout".to_owned(),
            body: "{}".to_owned(),
        };
        Desk(Mutex::new(Line::restore(10, [1, 2].map(|number| Record::Held(number, held(number))))))
    }

    fn line(&self, queue: &str) -> Result<MutexGuard<'_, Line>, ReviewProblem> {
        if queue == "risk" { Ok(lock(&self.0)) } else { Err(ReviewProblem::NoQueue(queue.to_owned())) }
    }
}

impl Reviews for Desk {
    fn queues(&self) -> Vec<String> {
        vec!["risk".to_owned()]
    }

    fn list(&self, queue: &str, state: Option<&str>, after: u64, limit: usize) -> Result<Vec<Review>, ReviewProblem> {
        Ok(self.line(queue)?.list(state, after, limit, NOW))
    }

    fn claim(&self, queue: &str, id: Option<u64>, by: &str, lease: Duration) -> Result<Review, ReviewProblem> {
        Ok(self.line(queue)?.handle_claim(id, by, lease, NOW)?)
    }

    fn decide<'a>(&'a self, queue: &'a str, id: u64, decision: Decision) -> Deciding<'a> {
        Box::pin(async move {
            let mut line = self.line(queue)?;
            if line.check_decision(id, &decision, NOW)?.is_none() {
                return Ok(line.get(id, NOW).unwrap());
            }
            Ok(line.handle_decided(id, decision)?)
        })
    }
}

/// A token with this value.
pub(crate) fn token(name: &str, role: Role, value: &str) -> Token {
    let mut secret = Secret::unresolved(SecretSource::Env("TOKEN".to_owned()));
    secret.resolve(value.to_owned());
    Token { name: name.to_owned(), role, secret }
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) plane: Arc<Plane>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::start_with(&[]).await
    }

    pub(crate) async fn start_with(tokens: &[Token]) -> Server {
        let plane = Arc::new(Plane::new());
        let site = Site::new(plane.clone()).with_reviews(Arc::new(Desk::new()));
        Server::start_site(tokens, plane, site).await
    }

    pub(crate) async fn start_site(tokens: &[Token], plane: Arc<Plane>, site: Site) -> Server {
        Server::start_admin(tokens, plane, site, |admin| admin).await
    }

    pub(crate) async fn start_admin(
        tokens: &[Token],
        plane: Arc<Plane>,
        site: Site,
        with: impl FnOnce(Admin) -> Admin,
    ) -> Server {
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), tokens, site).await.unwrap();
        let admin = with(admin).with_hosts(["ops.example".to_owned()]);
        let addr = admin.local_addr();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(admin.serve(async { drop(stopped.await) }));
        Server { addr, plane, stop, serving }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.client(method, path, headers, body).await
    }

    /// One request on a connection of its own; a `host` among the headers replaces the usual one.
    pub(crate) fn client(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> impl Future<Output = Answer> + Send + 'static {
        let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "host") {
            write!(text, "host: {}\r\n", self.addr).unwrap();
        }
        for (name, value) in headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        text.push_str("\r\n");
        text.push_str(body);
        let exchange = exchange(self.addr, text);
        async { Answer::parse(&exchange.await) }
    }

    pub(crate) async fn raw(&self, text: &str) -> Answer {
        Answer::parse(&self.raw_bytes(text).await)
    }

    pub(crate) async fn raw_bytes(&self, text: &str) -> String {
        exchange(self.addr, text.to_owned()).await
    }
}

/// Says `text` and hears all that comes back, of a stream of events the first. The peer may answer and close before it has read everything.
async fn exchange(addr: SocketAddr, text: String) -> String {
    let (mut read, mut write) = TcpStream::connect(addr).await.unwrap().into_split();
    let saying = tokio::spawn(async move { (write.write_all(text.as_bytes()).await, write) });
    let mut heard = Vec::new();
    while !has_event(&heard) && read.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {}
    drop(saying.await);
    String::from_utf8(heard).unwrap()
}

/// Whether this is a stream of events, and its first event is there.
fn has_event(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard);
    let body = text.split_once("\r\n\r\n").filter(|(head, _)| head.contains("text/event-stream"));
    body.is_some_and(|(_, body)| body.contains("\n\n"))
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    fn parse(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.to_lowercase(), v.to_owned()));
        Answer { status, headers: headers.collect(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
