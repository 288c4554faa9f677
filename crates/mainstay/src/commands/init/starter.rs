//! The starting points: a general one, and the five kinds of system, which are the examples of that name.

use clap::ValueEnum;

/// A kind of system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum System {
    /// Items in the order in which a user will like them
    Recommendation,
    /// Documents in the order in which they answer a query
    SearchRanking,
    /// Whether a message may go online
    ContentModeration,
    /// A chat that speaks OpenAI's API
    LlmChat,
    /// Whether a payment is honest
    FraudDetection,
}

/// What `init` writes.
pub(super) struct Starter {
    pub(super) config: &'static str,
    /// Paths beside the config, and contents.
    pub(super) data: &'static [(&'static str, &'static str)],
}

/// A file of an example.
macro_rules! example {
    ($path:literal) => {
        include_str!(concat!("../../../../../examples/systems/", $path))
    };
}

impl Starter {
    /// The starting point of a system; `None`: the general one.
    pub(super) const fn of(system: Option<System>) -> Starter {
        match system {
            None => Starter { config: mainstay_config::template(), data: &[] },
            Some(System::Recommendation) => Starter {
                config: example!("recommendation/mainstay.yaml"),
                data: &[
                    ("data/popularity.csv", example!("recommendation/data/popularity.csv")),
                    ("data/category_defaults.jsonl", example!("recommendation/data/category_defaults.jsonl")),
                ],
            },
            Some(System::SearchRanking) => Starter {
                config: example!("search-ranking/mainstay.yaml"),
                data: &[
                    ("data/articles.csv", example!("search-ranking/data/articles.csv")),
                    ("data/published.csv", example!("search-ranking/data/published.csv")),
                ],
            },
            Some(System::ContentModeration) => Starter {
                config: example!("content-moderation/mainstay.yaml"),
                data: &[
                    ("data/blocklist.txt", example!("content-moderation/data/blocklist.txt")),
                    ("data/watchlist.txt", example!("content-moderation/data/watchlist.txt")),
                ],
            },
            Some(System::LlmChat) => Starter {
                config: example!("llm-chat/mainstay.yaml"),
                data: &[("data/templates.txt", example!("llm-chat/data/templates.txt"))],
            },
            Some(System::FraudDetection) => Starter {
                config: example!("fraud-detection/mainstay.yaml"),
                data: &[("data/batch_scores.csv", example!("fraud-detection/data/batch_scores.csv"))],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_starting_point_is_accepted_without_a_finding_and_has_the_files_that_it_names() {
        let systems = System::value_variants().iter().copied().map(Some);
        for system in systems.chain([None]) {
            let starter = Starter::of(system);
            let (plan, findings) = mainstay_config::load(starter.config);
            assert!(
                findings.is_empty(),
                "{}",
                mainstay_config::render(&findings, "mainstay.yaml", starter.config, false)
            );
            let plan = plan.unwrap();
            let levels: Vec<u8> = plan.routes[0].ladder.iter().map(|entry| entry.level.number()).collect();
            assert!((0..=4).all(|level| levels.contains(&level)), "{levels:?}");
            for line in starter.config.lines().filter_map(|line| line.trim().strip_prefix("file: ")) {
                let name = line.split_whitespace().next().unwrap();
                assert!(starter.data.iter().any(|(path, _)| *path == name), "{name} is not written");
            }
        }
    }

    /// Every answer that the levels from `from` on can give, as it is written.
    fn answers(system: System, from: u8) -> String {
        let (plan, _) = mainstay_config::load(Starter::of(Some(system)).config);
        let entries = plan.unwrap().routes.swap_remove(0).ladder;
        let answers: Vec<_> = entries.iter().filter(|e| e.level.number() >= from).map(|e| &e.answer).collect();
        format!("{answers:?}")
    }

    #[test]
    fn what_is_about_safety_fails_closed() {
        let moderation = answers(System::ContentModeration, 3);
        assert!(moderation.contains("\"block\"") && moderation.contains("\"review\""), "{moderation}");
        assert!(!moderation.contains("allow"), "{moderation}");
        let fraud = answers(System::FraudDetection, 4);
        assert!(fraud.contains("\"decline\"") && fraud.contains("\"review\""), "{fraud}");
        assert!(!fraud.contains("approve"), "{fraud}");
    }
}
