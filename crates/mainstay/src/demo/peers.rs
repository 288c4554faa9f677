//! The services around the gateway: two model servers and a feature store, on a thread of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::data::{DataSet, MEASUREMENTS};
use super::feast::FeatureStore;
use super::inference::ModelServer;
use super::model::Model;
use super::pager::Pager;
use super::report::Models;
use super::script::{Fault, PRIMARY, SMALL, STORE_DELAY};
use super::site::Site;

/// The input that the caller sends: means and standard errors.
pub(super) const MEASURED_INPUT: &str = "measurements";

/// The input that the gateway adds: the feature store's values.
pub(super) const STORED_INPUT: &str = "history";

/// What the simpler model reads: mean radius, texture, smoothness and concave points.
pub(super) const SMALL_COLUMNS: [usize; 4] = [0, 1, 4, 7];

/// The running services. Dropping it ends them.
pub(super) struct Peers {
    /// How good the models are.
    pub(super) models: Models,
    /// What the simpler model hashes to.
    pub(super) small_digest: String,
    primary: Site,
    small: Site,
    store: Site,
    features: Arc<FeatureStore>,
    /// Where pages arrive.
    pub(super) pager: Arc<Pager>,
    pages: Site,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Peers {
    /// Learns the simpler model and opens the three ports.
    pub(super) fn start(data: &DataSet, primary: Model) -> anyhow::Result<Peers> {
        let small = Model::train(&data.training, &SMALL_COLUMNS)?;
        let models = Models {
            primary_accuracy: primary.accuracy(&data.held_out),
            small_accuracy: small.accuracy(&data.held_out),
        };
        let features = Arc::new(FeatureStore::new(data.all()));
        let small_digest = small.digest();
        let primary = ModelServer::new("tumour", primary, PRIMARY_INPUTS, PRIMARY);
        let small = ModelServer::new("tumour-small", small, SMALL_INPUTS, SMALL);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut tasks = JoinSet::new();
        let pager = Arc::new(Pager::default());
        let (primary, small, store, pages) = runtime.block_on(async {
            let primary = Site::open(Arc::new(primary), &mut tasks).await?;
            let small = Site::open(Arc::new(small), &mut tasks).await?;
            let store = Site::open(Arc::clone(&features) as _, &mut tasks).await?;
            let pages = Site::open(Arc::clone(&pager) as _, &mut tasks).await?;
            std::io::Result::Ok((primary, small, store, pages))
        })?;
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("demo-peers".to_owned()).spawn(move || {
            runtime.block_on(async {
                // Whether the word was said or the sender is gone: it is over.
                let _ = ended.await;
                tasks.shutdown().await;
            });
        });
        let thread = Some(thread.context("start the demo's services")?);
        let end = Some(end);
        Ok(Peers { models, small_digest, primary, small, store, features, pager, pages, end, thread })
    }

    /// Where the primary model, the simpler model, the feature store and the receiver of pages listen.
    pub(super) fn addresses(&self) -> [SocketAddr; 4] {
        [self.primary.address, self.small.address, self.store.address, self.pages.address]
    }

    /// Makes this go wrong and nothing else; `None`: everything is well. Overload is the callers' doing.
    pub(super) fn suffer(&self, fault: Option<Fault>) {
        let (delay, primary_lives, small_lives) = match fault {
            Some(Fault::StoreSlow) => (STORE_DELAY, true, true),
            Some(Fault::PrimaryKilled) => (Duration::ZERO, false, true),
            Some(Fault::ModelsKilled) => (Duration::ZERO, false, false),
            Some(Fault::Overload) | None => (Duration::ZERO, true, true),
        };
        self.features.slow_down(delay);
        self.primary.set_alive(primary_lives);
        self.small.set_alive(small_lives);
    }
}

const PRIMARY_INPUTS: &[(&str, usize)] =
    &[(MEASURED_INPUT, 2 * MEASUREMENTS.len()), (STORED_INPUT, MEASUREMENTS.len())];
const SMALL_INPUTS: &[(&str, usize)] = &[(MEASURED_INPUT, 2 * MEASUREMENTS.len())];

impl Drop for Peers {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}
