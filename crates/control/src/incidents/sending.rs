//! Notices on their way.

use mainstay_core::plan::Channel;
use mainstay_core::response::delivery::{Delivery, Outcome};

use super::{Incidents, STORE_AGAIN};

/// Most tries at once, and most of one channel.
const FLYING_MAX: usize = 64;
const OF_CHANNEL_MAX: usize = 4;

impl Incidents {
    /// Begins every try that is due and has room.
    pub(super) async fn send_due(&self) {
        // What is decided meanwhile waits: a notice that is cancelled is either not begun, or known to be under way.
        let mut desk = self.0.desk.lock().await;
        let mut flying = self.flying();
        flying.retain(|_, task| !task.is_finished());
        let due = desk.due(self.now());
        let channels = flying.keys().filter_map(|id| desk.deliveries().get(id).map(|it| it.channel.clone()));
        let mut of_channel: Vec<String> = channels.collect();
        for delivery in due {
            let busy = of_channel.iter().filter(|it| **it == delivery.channel).count();
            if flying.contains_key(&delivery.id) || busy >= OF_CHANNEL_MAX || flying.len() >= FLYING_MAX {
                continue;
            }
            desk.handle_trying(&delivery.id);
            of_channel.push(delivery.channel.clone());
            let channel = desk.terms().incidents.channels.iter().find(|it| it.name == delivery.channel).cloned();
            let (incidents, id) = (self.clone(), delivery.id.clone());
            flying.insert(id, tokio::spawn(async move { incidents.send(channel, delivery).await }));
        }
    }

    async fn send(&self, channel: Option<Channel>, delivery: Delivery) {
        let outcome = match &channel {
            Some(channel) => self.0.sender.send(channel, &delivery.id, &delivery.notice, self.now()).await,
            None => Outcome::Refused { why: format!("there is no channel `{}` any more", delivery.channel) },
        };
        // Not a part of this task: a try that is broken off must not break off what rests of it.
        let (incidents, id) = (self.clone(), delivery.id);
        let rests = tokio::spawn(async move {
            let told = || {
                incidents.decide(|desk, now| {
                    desk.handle_sent(&id, outcome.clone(), now);
                    Ok(())
                })
            };
            // Until it rests what came of it, it is not tried again: a full disk must not page somebody twice a second.
            while let Err(error) = told().await {
                tracing::warn!(%error, notice = id, "what came of a notice waits for the store");
                tokio::time::sleep(STORE_AGAIN).await;
            }
        });
        let _ = rests.await;
    }
}
