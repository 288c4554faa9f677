//! What the admin API answers about.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;

use mainstay_core::answer::review::{Decision, Review};
use mainstay_core::metric::Family;

use crate::chaos::Experiments;
use crate::data_plane::DataPlane;
use crate::engine::Engine;
use crate::formats::Formats;
use crate::gamedays::Gamedays;
use crate::incidents::Incidents;
use crate::problem::{Kind, Problem};
use crate::registry::Registry;
use crate::reviews::{Deciding, ReviewProblem, Reviews};

/// The parts of a running mainstay, one handle per noun: each can be built, tested and left out alone.
#[derive(Clone)]
pub struct Site {
    plane: Arc<dyn DataPlane>,
    desk: Desk,
    engine: Option<Engine>,
    formats: Option<Importer>,
    shelf: Shelf,
    incidents: Option<Incidents>,
    experiments: Option<Experiments>,
    gamedays: Option<Gamedays>,
    /// Streams of what changes that may be open yet.
    streams: Arc<tokio::sync::Semaphore>,
}

/// Most streams of what changes at once.
const STREAMS_MAX: usize = 64;

/// The forms of objectives, and who imports.
#[derive(Clone)]
pub(crate) struct Importer {
    pub(crate) all: Arc<dyn Formats>,
    /// Held while documents come to rest and into force, so that both are the same.
    pub(crate) importing: Arc<tokio::sync::Mutex<()>>,
}

impl Site {
    /// A site of a data plane and nothing else.
    pub fn new(plane: Arc<dyn DataPlane>) -> Site {
        Site {
            plane,
            desk: Desk(Arc::new(NoReviews)),
            engine: None,
            formats: None,
            shelf: Shelf::default(),
            incidents: None,
            experiments: None,
            gamedays: None,
            streams: Arc::new(tokio::sync::Semaphore::new(STREAMS_MAX)),
        }
    }

    /// The same with an engine, and so with objectives, a log of events and a store.
    pub fn with_engine(self, engine: Engine) -> Site {
        Site { engine: Some(engine), ..self }
    }

    pub(crate) fn engine(&self) -> Result<&Engine, Problem> {
        self.engine.as_ref().ok_or_else(|| Problem::new(Kind::Unavailable, "this service runs without a store"))
    }

    /// The site with the forms in which others write objectives.
    pub fn with_formats(self, formats: Arc<dyn Formats>) -> Site {
        Site { formats: Some(Importer { all: formats, importing: Arc::default() }), ..self }
    }

    pub(crate) fn formats(&self) -> Result<&Importer, Problem> {
        self.formats.as_ref().ok_or_else(|| Problem::new(Kind::Unavailable, "this service knows no other forms"))
    }

    /// The site with lines in which requests wait for a person.
    pub fn with_reviews(self, reviews: Arc<dyn Reviews>) -> Site {
        Site { desk: Desk(reviews), ..self }
    }

    /// The site with models and training runs.
    pub fn with_registry(self, registry: Arc<Registry>) -> Site {
        Site { shelf: Shelf(Some(registry)), ..self }
    }

    /// The site with incidents.
    pub fn with_incidents(self, incidents: Incidents) -> Site {
        Site { incidents: Some(incidents), ..self }
    }

    pub(crate) fn incidents(&self) -> Result<&Incidents, Problem> {
        self.incidents.as_ref().ok_or_else(|| Problem::new(Kind::Unavailable, "this service runs without a store"))
    }

    /// The site with experiments.
    pub fn with_experiments(self, experiments: Experiments) -> Site {
        Site { experiments: Some(experiments), ..self }
    }

    pub(crate) fn experiments(&self) -> Result<&Experiments, Problem> {
        self.experiments.as_ref().ok_or_else(|| Problem::new(Kind::Unavailable, "this service runs without a store"))
    }

    /// Metrics of experiments.
    pub(crate) fn experiment_metrics(&self) -> Vec<Family> {
        self.experiments.iter().flat_map(Experiments::metrics).collect()
    }

    /// The site with game days.
    pub fn with_gamedays(self, gamedays: Gamedays) -> Site {
        Site { gamedays: Some(gamedays), ..self }
    }

    /// Metrics of game days.
    pub(crate) fn gameday_metrics(&self) -> Vec<Family> {
        self.gamedays.iter().flat_map(Gamedays::metrics).collect()
    }

    pub(crate) fn gamedays(&self) -> Result<&Gamedays, Problem> {
        self.gamedays.as_ref().ok_or_else(|| Problem::new(Kind::Unavailable, "this service runs without a store"))
    }

    /// Room for one more stream of what changes.
    pub(crate) fn stream(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Problem> {
        let full = |_| Problem::new(Kind::Unavailable, format!("{STREAMS_MAX} streams are open"));
        Arc::clone(&self.streams).try_acquire_owned().map_err(full)
    }

    /// Metrics of incidents.
    pub(crate) fn incident_metrics(&self) -> Vec<Family> {
        self.incidents.iter().flat_map(Incidents::metrics).collect()
    }

    /// Metrics of models and of training runs.
    pub(crate) fn registry_metrics(&self) -> Vec<Family> {
        self.shelf.0.iter().flat_map(|registry| registry.metrics()).collect()
    }
}

/// Models and runs, where there is a store for them.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Option<Arc<Registry>>);

impl Shelf {
    /// The registry, or why there is none.
    pub(crate) fn open(&self) -> Result<&Arc<Registry>, Problem> {
        self.0.as_ref().ok_or_else(|| Problem::new(Kind::Unavailable, "this service runs without a store"))
    }
}

impl FromRef<Site> for Shelf {
    fn from_ref(site: &Site) -> Self {
        site.shelf.clone()
    }
}

/// Where requests wait for a person.
#[derive(Clone)]
pub(crate) struct Desk(pub(crate) Arc<dyn Reviews>);

impl FromRef<Site> for Desk {
    fn from_ref(site: &Site) -> Self {
        site.desk.clone()
    }
}

/// No level holds requests for a person.
struct NoReviews;

impl Reviews for NoReviews {
    fn queues(&self) -> Vec<String> {
        Vec::new()
    }

    fn list(&self, queue: &str, _: Option<&str>, _: u64, _: usize) -> Result<Vec<Review>, ReviewProblem> {
        Err(ReviewProblem::NoQueue(queue.to_owned()))
    }

    fn claim(&self, queue: &str, _: Option<u64>, _: &str, _: Duration) -> Result<Review, ReviewProblem> {
        Err(ReviewProblem::NoQueue(queue.to_owned()))
    }

    fn decide<'a>(&'a self, queue: &'a str, _: u64, _: Decision) -> Deciding<'a> {
        Box::pin(async { Err(ReviewProblem::NoQueue(queue.to_owned())) })
    }
}

impl FromRef<Site> for Arc<dyn DataPlane> {
    fn from_ref(site: &Site) -> Self {
        Arc::clone(&site.plane)
    }
}
