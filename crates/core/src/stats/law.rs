//! Tails of the usual laws: the chance of at least `x`.

use statrs::function::beta::beta_reg;
use statrs::function::erf::{erfc, erfc_inv};
use statrs::function::gamma::gamma_ur;

/// The standard normal law: the chance of at least `x`.
pub fn normal_above(x: f64) -> f64 {
    0.5 * erfc(x / std::f64::consts::SQRT_2)
}

/// The `x` that the standard normal law is above with the chance `p`.
pub fn normal_quantile_above(p: f64) -> f64 {
    erfc_inv(2.0 * p) * std::f64::consts::SQRT_2
}

/// The chi-square law with `degrees` of freedom: the chance of at least `x`.
pub fn chi_square_above(x: f64, degrees: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { gamma_ur(degrees / 2.0, x / 2.0) }
}

/// Student's law with `degrees` of freedom: the chance of at least `t`.
pub fn student_above(t: f64, degrees: f64) -> f64 {
    let half = 0.5 * beta_reg(degrees / 2.0, 0.5, degrees / (degrees + t * t));
    if t >= 0.0 { half } else { 1.0 - half }
}

/// The `t` that Student's law with `degrees` of freedom is above with the chance `p`, within (0, 0.5]; by bisection.
pub fn student_quantile_above(p: f64, degrees: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while student_above(high, degrees) > p && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if student_above(middle, degrees) > p { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// Kolmogorov's limiting law (1933): the chance that sqrt(n) times the two-sided distance is at least `x`.
pub fn kolmogorov_above(x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if x < 1.0 {
        // The other series of the same function (Jacobi): quick where x is small.
        let scale = std::f64::consts::PI * std::f64::consts::PI / (8.0 * x * x);
        let sum: f64 = (0..20).map(|k| (-f64::from((2 * k + 1) * (2 * k + 1)) * scale).exp()).sum();
        return 1.0 - (2.0 * std::f64::consts::PI).sqrt() / x * sum;
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 1.0 } else { -1.0 };
        sign * (-2.0 * f64::from(k * k) * x * x).exp()
    };
    2.0 * (1..=20).map(term).sum::<f64>()
}
