//! What the admin API answers about.

use std::sync::Arc;

use axum::extract::FromRef;

use crate::data_plane::DataPlane;

/// The parts of a running mainstay, one handle per noun: each can be built, tested and left out alone.
#[derive(Clone)]
pub struct Site {
    plane: Arc<dyn DataPlane>,
}

impl Site {
    /// A site of a data plane and nothing else.
    pub fn new(plane: Arc<dyn DataPlane>) -> Site {
        Site { plane }
    }
}

impl FromRef<Site> for Arc<dyn DataPlane> {
    fn from_ref(site: &Site) -> Self {
        Arc::clone(&site.plane)
    }
}
