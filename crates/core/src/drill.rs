//! Drills: a world, a plan, what happens to them, and what must hold. Plain data, right by construction.
//!
//! `mainstay-config` reads a [`Drill`] from Markdown; `mainstay-sim` runs it in virtual time.

pub mod around;
pub mod engine;
pub mod facts;

use std::time::Duration;

use crate::chaos::fault::Delay;
use crate::plan::Plan;
use crate::resilience::outcome::Outcome;
use crate::route::Class;

pub use around::{Around, Day, Deploy, Law, Reaction, Store, Version};
pub use engine::Engine;

/// Longest drill.
pub const LENGTH_MAX: Duration = Duration::from_hours(7 * 24);
/// Most requests that a drill may be expected to send.
pub const REQUESTS_MAX: f64 = 2e9;
/// Most happenings, and most expectations.
pub const ITEMS_MAX: usize = 200;
/// The 99 % quantile of the standard normal law.
const Z_99: f64 = 2.326_347_874_040_841;

/// A drill.
#[derive(Clone, Debug)]
pub struct Drill {
    /// Its name.
    pub name: String,
    /// What it is about, in a line.
    pub title: String,
    /// What decides everything that is random, unless another seed is asked for.
    pub seed: u64,
    /// How long it lasts, in virtual time.
    pub length: Duration,
    /// What runs.
    pub plan: Plan,
    /// How each backend of the plan behaves; `None`: no route asks it.
    pub models: Vec<Option<Model>>,
    /// Who sends requests.
    pub users: Vec<Users>,
    /// What happens, in order of time.
    pub script: Vec<Happening>,
    /// What must hold.
    pub expect: Vec<Expectation>,
    /// What is around it.
    pub around: Around,
}

/// How a backend behaves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Model {
    /// As servers of equal kind.
    Servers(Servers),
    /// As an engine of a language model.
    Engine(Engine),
}

/// Servers of equal kind behind one line, first come first served.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Servers {
    /// How many work at once.
    pub servers: u32,
    /// The mean time that one request takes.
    pub mean: Duration,
    /// Sigma of the log-normal law of that time; 0: constant.
    pub spread: f64,
    /// By which share a request takes longer for each further request that waits per server: threads, caches, memory.
    pub drag: f64,
    /// In how many parts they are, as a deploy restarts them: each part is as many of them, give or take one.
    pub parts: u32,
}

/// People, or programs, that use a route.
#[derive(Clone, PartialEq, Debug)]
pub struct Users {
    /// Their name.
    pub name: String,
    /// Index into [`Plan::routes`].
    pub route: usize,
    /// How often they ask.
    pub rate: Rate,
    /// What share of them is of each class.
    pub classes: [f64; Class::COUNT],
    /// How often they ask again what was turned away, as clients of language models do: after the wait that they are
    /// told, or 0.5 s doubled up to 8 s.
    pub retries: u32,
    /// How that goes up and down through a day; `None`: it does not.
    pub day: Option<Day>,
}

/// How often users ask; the times between two requests are exponential.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rate {
    /// Requests per second.
    PerSecond(f64),
    /// In multiples of what the first backend of the route's ladder can carry when it is well.
    OfCapacity(f64),
}

/// Something that happens.
#[derive(Clone, PartialEq, Debug)]
pub struct Happening {
    /// From the drill's start.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What happens.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// A backend takes so many times as long from here on.
    Slow {
        /// Index into [`Plan::backends`].
        backend: usize,
        /// 1: as ever.
        times: f64,
    },
    /// A share of the calls to a backend is answered by an error from here on.
    Fail {
        /// Index into [`Plan::backends`].
        backend: usize,
        /// 0: none.
        share: f64,
    },
    /// Calls to a backend are never answered from here on, or are again.
    Hang {
        /// Index into [`Plan::backends`].
        backend: usize,
        /// Whether.
        hangs: bool,
    },
    /// A backend is gone from here on, and whatever it was working on; or it is there again.
    Down {
        /// Index into [`Plan::backends`].
        backend: usize,
        /// Whether it is gone.
        down: bool,
    },
    /// A share of the calls to a backend begins so much later from here on.
    Stall {
        /// Index into [`Plan::backends`].
        backend: usize,
        /// 0: none.
        share: f64,
        /// How much later.
        time: Duration,
    },
    /// A share of the answers of a backend's engine comes so much later from here on, from the first token on.
    FirstToken {
        /// Index into [`Plan::backends`]; its model is an engine.
        backend: usize,
        /// 0: none.
        share: f64,
        /// How much later.
        time: Duration,
    },
    /// Calls meet a fault on purpose from here on, as in an experiment; or no more.
    Disturb {
        /// Which calls.
        at: Place,
        /// The fault.
        fault: Option<Disturbance>,
    },
    /// A new version comes to a backend.
    Deploy {
        /// Index into [`Plan::backends`].
        backend: usize,
        /// How.
        deploy: Deploy,
    },
    /// A feature store is otherwise from here on.
    Store {
        /// Index into [`Plan::features`].
        set: usize,
        /// How.
        turn: StoreTurn,
    },
    /// A channel reaches nobody from here on, or does again.
    Channel {
        /// Index into the channels of [`Plan::incidents`].
        channel: usize,
        /// Whether it does not.
        down: bool,
    },
    /// Users ask at another rate from here on.
    Load {
        /// Index into [`Drill::users`].
        users: usize,
        /// The rate.
        rate: Rate,
    },
    /// Users are of other classes from here on.
    Mix {
        /// Index into [`Drill::users`].
        users: usize,
        /// What share is of each class.
        classes: [f64; Class::COUNT],
    },
}

/// How a feature store is from here on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum StoreTurn {
    /// It takes so many times as long; 1: as ever.
    Slow(f64),
    /// It answers a share of retrievals by an error.
    Fail(f64),
    /// It never answers, or does again.
    Hang(bool),
    /// It is gone, or there again.
    Down(bool),
    /// Its values are so old.
    Age(Duration),
}

/// Where a fault on purpose comes to calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// At a backend: index into [`Plan::backends`].
    Backend(usize),
    /// At the store of a feature set: index into [`Plan::features`].
    Features(usize),
}

/// A fault on purpose, and whom it comes to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Disturbance {
    /// The share of all requests that are the experiment's arm.
    pub cohort: f64,
    /// The share of the arm that meets the fault.
    pub dose: f64,
    /// What becomes of a call.
    pub hit: Hit,
}

/// What a fault on purpose does to a call.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Hit {
    /// It is not made, and ends so.
    Ends(Outcome),
    /// It is made later.
    Later(Delay),
    /// What a feature store answers is older.
    Older(Duration),
    /// What a feature store answers has values missing.
    Missing {
        /// Whether each of them has a default.
        defaults: bool,
    },
}

/// What must hold.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// What it is about, in a line.
    pub name: String,
    /// CEL over [`facts::FACTS`].
    pub holds: String,
    /// Facts count from here on.
    pub from: Duration,
    /// And up to here.
    pub to: Duration,
    /// Why it is known not to hold yet: it is measured and shown, and does not fail the drill.
    pub known: Option<String>,
}

impl Model {
    /// Requests per second that it carries when it is well.
    pub fn capacity(&self) -> f64 {
        match self {
            Model::Servers(servers) => servers.capacity(),
            Model::Engine(engine) => engine.capacity(),
        }
    }

    /// The 99 % quantile of its time for one request when nobody waits, in seconds; of an engine that of the first token.
    pub fn unloaded_p99_s(&self) -> f64 {
        match self {
            Model::Servers(servers) => servers.unloaded_p99_s(),
            Model::Engine(engine) => engine.unloaded_first_s(engine.prompt.at(Z_99)),
        }
    }
}

impl Servers {
    /// Requests per second that they carry when they are well.
    pub fn capacity(&self) -> f64 {
        f64::from(self.servers) / self.mean.as_secs_f64()
    }

    /// The 99 % quantile of its time for one request when nobody waits, in seconds.
    pub fn unloaded_p99_s(&self) -> f64 {
        self.median_s() * (Z_99 * self.spread).exp()
    }

    /// The median of its time for one request, in seconds.
    pub fn median_s(&self) -> f64 {
        self.mean.as_secs_f64() * (-self.spread * self.spread / 2.0).exp()
    }
}

impl Drill {
    /// What the first backend of a route's ladder carries when it is well; 0 where there is none.
    pub fn capacity_of(&self, route: usize) -> f64 {
        self.first_model(route).map_or(0.0, Model::capacity)
    }

    /// The first backend of a route's ladder: its index and how it behaves.
    pub fn first_backend(&self, route: usize) -> Option<usize> {
        self.plan.routes.get(route)?.ladder.iter().find_map(|entry| entry.answer.asked()).map(|asked| asked.backend.0)
    }

    /// How the first backend of a route's ladder behaves.
    pub fn first_model(&self, route: usize) -> Option<&Model> {
        self.models.get(self.first_backend(route)?)?.as_ref()
    }

    /// A rate in requests per second.
    pub fn per_second(&self, route: usize, rate: Rate) -> f64 {
        match rate {
            Rate::PerSecond(rate) => rate,
            Rate::OfCapacity(times) => times * self.capacity_of(route),
        }
    }

    /// Requests that it is expected to send, retries left out.
    pub fn requests(&self) -> f64 {
        let of = |index: usize| {
            let users = &self.users[index];
            let share = |from, to| users.day.as_ref().map_or(1.0, |day| day.mean(from, to));
            let (mut sum, mut rate, mut since) = (0.0, users.rate, Duration::ZERO);
            for happening in &self.script {
                if let What::Load { users: whose, rate: next } = happening.what
                    && whose == index
                {
                    sum += self.per_second(users.route, rate)
                        * share(since, happening.at)
                        * happening.at.saturating_sub(since).as_secs_f64();
                    (rate, since) = (next, happening.at);
                }
            }
            let left = self.length.saturating_sub(since).as_secs_f64();
            sum + self.per_second(users.route, rate) * share(since, self.length) * left
        };
        (0..self.users.len()).map(of).sum()
    }
}
