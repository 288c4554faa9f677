//! How full a backend is, what that is called, and the thresholds that may turn classes away early.

use crate::route::Class;

/// Who is turned away when a backend is full.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Shed {
    /// The priority queue decides: the worst entry leaves when a better one comes. Uses all capacity there is.
    #[default]
    Queue,
    /// Classes 3, 2 and 1 are turned away from these saturations on, class 0 never.
    Thresholds([f64; 3]),
}

impl Shed {
    /// The thresholds' defaults: class 3 from .70, 2 from .85, 1 from .95.
    pub const THRESHOLDS: Shed = Shed::Thresholds([0.70, 0.85, 0.95]);

    /// Whether a request of `class` may try its luck at this saturation.
    ///
    /// ```
    /// use mainstay_core::resilience::queue::Shed;
    /// use mainstay_core::route::Class;
    ///
    /// assert!(Shed::THRESHOLDS.admits(Class::WORST, 0.69));
    /// assert!(!Shed::THRESHOLDS.admits(Class::WORST, 0.70));
    /// assert!(Shed::THRESHOLDS.admits(Class::BEST, 1.0));
    /// assert!(Shed::Queue.admits(Class::WORST, 1.0));
    /// ```
    pub fn admits(self, class: Class, saturation: f64) -> bool {
        match self {
            Shed::Queue => true,
            Shed::Thresholds(from) => match class.number() {
                0 => true,
                class => saturation < from[3 - usize::from(class)],
            },
        }
    }
}

/// How loaded a backend was when it could not take a request in time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LoadReason {
    /// Saturation below .70: the deadline could not be met anyway.
    Normal,
    /// From .70.
    Moderate,
    /// From .85.
    High,
    /// From .95.
    Extreme,
}

impl LoadReason {
    /// What this saturation is called.
    pub fn of(saturation: f64) -> LoadReason {
        if saturation >= 0.95 {
            LoadReason::Extreme
        } else if saturation >= 0.85 {
            LoadReason::High
        } else if saturation >= 0.70 {
            LoadReason::Moderate
        } else {
            LoadReason::Normal
        }
    }

    /// The name that headers and metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            LoadReason::Normal => "normal_load",
            LoadReason::Moderate => "moderate_load",
            LoadReason::High => "high_load",
            LoadReason::Extreme => "extreme_load",
        }
    }
}

/// `(in flight + queued) / (limit + queue)`: 0 is idle, 1 is full.
pub fn saturation(in_flight: u32, queued: u32, limit: u32, queue_max: u32) -> f64 {
    let room = f64::from(limit) + f64::from(queue_max);
    if room == 0.0 { 1.0 } else { (f64::from(in_flight) + f64::from(queued)) / room }
}
