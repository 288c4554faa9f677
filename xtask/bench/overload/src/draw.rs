//! Seeded randomness: SplitMix64 (Steele, Lea and Flood, 2014), and two laws.

use std::f64::consts::TAU;

pub(crate) struct Draw {
    state: u64,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// In (0, 1].
    pub(crate) fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((word ^ (word >> 31)) >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Of mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }

    /// Of mean 1 and so much sigma of the logarithm; Box and Muller, 1958.
    pub(crate) fn lognormal(&mut self, sigma: f64) -> f64 {
        let normal = (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos();
        (sigma * normal - sigma * sigma / 2.0).exp()
    }

    /// The place of one of these, by weight.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut left = self.unit() * f64::from(weights.iter().sum::<u32>());
        for (place, weight) in weights.iter().enumerate() {
            left -= f64::from(*weight);
            if left <= 0.0 {
                return place;
            }
        }
        weights.len() - 1
    }
}
