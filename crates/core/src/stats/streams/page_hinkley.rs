//! A sum of deviations that leaves its extreme.

/// Page and Hinkley's test (1954, 1971), as river 0.26 has it: `threshold` is in the unit of the values, and there is no stated rate of
/// false alarms. The update after a detection begins anew.
///
/// ```
/// use mainstay_core::stats::streams::PageHinkley;
///
/// let mut test = PageHinkley::default();
/// let detected = (0..1_200).position(|at| test.push(if at < 1_000 { 0.0 } else { 1.0 }));
/// assert!(detected.is_some_and(|at| (1_050..1_060).contains(&at)));
/// ```
#[derive(Clone, Debug)]
pub struct PageHinkley {
    threshold: f64,
    delta: f64,
    alpha: f64,
    mode: Mode,
    n: f64,
    mean: f64,
    up: f64,
    down: f64,
    least: f64,
    most: f64,
    detected: bool,
}

/// Which changes are looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The mean rises.
    Up,
    /// The mean falls.
    Down,
    /// Either.
    Both,
}

/// Nothing is detected before so many values.
const VALUES_LEAST: f64 = 30.0;

impl PageHinkley {
    /// A test that alarms where the sum of deviations, less `delta` each and fading by `alpha`, leaves its extreme by `threshold`.
    pub fn new(threshold: f64, delta: f64, alpha: f64, mode: Mode) -> PageHinkley {
        PageHinkley {
            threshold,
            delta,
            alpha,
            mode,
            n: 0.0,
            mean: 0.0,
            up: 0.0,
            down: 0.0,
            least: f64::INFINITY,
            // River begins with -1 and not with minus infinity.
            most: -1.0,
            detected: false,
        }
    }

    /// Takes in a value; whether a change was detected. What is no finite number is left out.
    pub fn push(&mut self, value: f64) -> bool {
        if !value.is_finite() {
            return false;
        }
        if self.detected {
            *self = PageHinkley::new(self.threshold, self.delta, self.alpha, self.mode);
        }
        self.n += 1.0;
        self.mean += (value - self.mean) / self.n;
        let off = value - self.mean;
        self.up = self.alpha * self.up + off - self.delta;
        self.down = self.alpha * self.down + off + self.delta;
        self.least = self.least.min(self.up);
        self.most = self.most.max(self.down);
        let (rose, fell) = (self.up - self.least > self.threshold, self.most - self.down > self.threshold);
        let found = match self.mode {
            Mode::Up => rose,
            Mode::Down => fell,
            Mode::Both => rose || fell,
        };
        self.detected = found && self.n >= VALUES_LEAST;
        self.detected
    }
}

impl Default for PageHinkley {
    /// River's defaults.
    fn default() -> PageHinkley {
        PageHinkley::new(50.0, 0.005, 0.9999, Mode::Both)
    }
}
