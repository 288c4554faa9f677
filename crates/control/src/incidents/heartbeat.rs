//! Somebody outside hears that mainstay is alive, and notices when it is not.

use std::time::Duration;

use super::Incidents;

/// How often it is looked whether there is somebody to tell.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Tells them for as long as this runs. A store that takes nothing stops it: a mainstay that cannot keep what happens is as good as gone.
pub(super) async fn beat(incidents: Incidents) {
    loop {
        let Some(heartbeat) = incidents.heartbeat().await else {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        };
        let beaten = match incidents.store().change(vec![super::at_rest::alive(incidents.now())], incidents.now()).await
        {
            Ok(_) => incidents.0.sender.beat(&heartbeat).await,
            Err(error) => Err(format!("the store takes nothing: {error}")),
        };
        if let Err(why) = &beaten {
            tracing::warn!(%why, "nobody heard the heartbeat");
        }
        incidents.counted().heartbeat(beaten.is_ok());
        tokio::time::sleep(heartbeat.every).await;
    }
}
