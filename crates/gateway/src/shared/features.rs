//! A feature store as all workers see it.

use std::rc::Rc;
use std::sync::Arc;

use mainstay_core::plan::FeatureSet;
use mainstay_core::time::Time;
use mainstay_tower::breaker::SharedBreaker;

use super::backend::Health;
use super::{Lasting, Shared};
use crate::StartError;
use crate::features::FeatureStage;
use crate::tls;
use crate::upstream::{Endpoint, Pool};
use crate::worker::State;

/// A feature set, its store's breaker, and its last-known-good cache.
pub(crate) struct FeatureShared {
    pub(crate) name: String,
    pub(crate) stage: FeatureStage,
    pub(crate) breaker: Arc<SharedBreaker>,
    pub(crate) health: Health,
    pub(crate) endpoint: Endpoint,
    tls: Option<Arc<rustls::ClientConfig>>,
    config: FeatureSet,
}

impl FeatureShared {
    /// The running set of the same configuration, or a new one.
    pub(crate) fn carry_over(
        config: &FeatureSet,
        lasting: &Lasting,
        old: Option<&Shared>,
        now: Time,
    ) -> Result<Arc<FeatureShared>, StartError> {
        if let Some(running) = old.and_then(|o| o.features.iter().find(|f| f.config == *config)) {
            return Ok(Arc::clone(running));
        }
        let endpoint = Endpoint::parse(&config.url, false)?;
        let tls = if endpoint.tls { Some(tls::client(None)?) } else { None };
        Ok(Arc::new(FeatureShared {
            name: config.name.clone(),
            stage: FeatureStage::new(config).map_err(|e| StartError::Features(config.name.clone(), e.to_string()))?,
            breaker: SharedBreaker::new(config.breaker.clone(), lasting.seed, now),
            health: Health::default(),
            endpoint,
            tls,
            config: config.clone(),
        }))
    }

    /// A pool of no worker's, for a health check.
    pub(crate) fn fresh_pool(&self) -> Rc<Pool> {
        Pool::new(self.endpoint.clone(), self.tls.clone(), self.config.timeout)
    }

    /// A worker's pool to the store: the one it has, where the set is the same.
    pub(crate) fn pool(self: &Arc<Self>, old: Option<&State>) -> Rc<Pool> {
        let running = old.and_then(|state| {
            let at = state.shared.features.iter().position(|f| Arc::ptr_eq(f, self))?;
            state.feature_pools.get(at).cloned()
        });
        running.unwrap_or_else(|| Pool::new(self.endpoint.clone(), self.tls.clone(), self.config.timeout))
    }
}
