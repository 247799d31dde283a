//! AdamW, its schedule, gradient clipping, and the moving average of weights, on plain arrays in f64.
//!
//! I. Loshchilov, F. Hutter, *Decoupled weight decay regularization*, ICLR 2019 (algorithm 2), with the
//! learning rate as the schedule multiplier: the decay of a step is `learning rate × weight_decay × weight`, as in
//! PyTorch.

use crate::OptimiserConfig;

/// Running means of gradients and of their squares.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Mean of the gradients.
    pub first: Vec<f64>,
    /// Mean of the squared gradients.
    pub second: Vec<f64>,
}

impl Moments {
    /// Creates zero moments for `n` weights.
    pub fn zero(n: usize) -> Self {
        Moments { first: vec![0.0; n], second: vec![0.0; n] }
    }
}

/// Makes step `t` of AdamW, counted from 1. Weights decay if `decays` is true.
///
/// ```text
/// m = β₁ m + (1 − β₁) g      v = β₂ v + (1 − β₂) g²
/// w −= η ( m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε) + λ w )
/// ```
pub fn adamw(
    config: &OptimiserConfig,
    learning_rate: f64,
    t: u64,
    weights: &mut [f64],
    decays: &[bool],
    gradient: &[f64],
    moments: &mut Moments,
) {
    let (beta1, beta2) = (config.beta1, config.beta2);
    let (correction1, correction2) = (1.0 - beta1.powf(t as f64), 1.0 - beta2.powf(t as f64));
    for (i, w) in weights.iter_mut().enumerate() {
        let g = gradient[i];
        let m = beta1 * moments.first[i] + (1.0 - beta1) * g;
        let v = beta2 * moments.second[i] + (1.0 - beta2) * g * g;
        let decay = if decays[i] { config.weight_decay * *w } else { 0.0 };
        *w -= learning_rate * (m / correction1 / ((v / correction2).sqrt() + config.epsilon) + decay);
        moments.first[i] = m;
        moments.second[i] = v;
    }
}

/// Computes the learning rate of step `step`, from 0: linear up to `learning_rate` at the last warm-up step, then half
/// a cosine down to `final_learning_rate` at the last step.
pub fn learning_rate(config: &OptimiserConfig, step: u64) -> f64 {
    let (top, bottom) = (config.learning_rate, config.final_learning_rate);
    if step < config.warm_up_steps {
        return top * (step + 1) as f64 / config.warm_up_steps as f64;
    }
    // The peak is the last warm-up step, or the first step if there are none.
    let peak = config.warm_up_steps.saturating_sub(1);
    let length = (config.steps - 1).saturating_sub(peak).max(1);
    let progress = ((step - peak) as f64 / length as f64).min(1.0);
    bottom + 0.5 * (top - bottom) * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// Computes the norm of a gradient over all weights.
pub fn norm(gradient: &[f64]) -> f64 {
    gradient.iter().map(|g| g * g).sum::<f64>().sqrt()
}

/// Scales a gradient of norm `norm` down to `max_norm` if it is longer.
pub fn clip(gradient: &mut [f64], norm: f64, max_norm: f64) {
    if norm > max_norm {
        gradient.iter_mut().for_each(|g| *g *= max_norm / norm);
    }
}

/// Updates the moving average after `t` steps, with the decay min(`decay`, (1 + t)/(10 + t)).
pub fn average(average: &mut [f64], weights: &[f64], decay: f64, t: u64) {
    let decay = decay.min((1 + t) as f64 / (10 + t) as f64);
    for (mean, w) in std::iter::zip(average, weights) {
        *mean = decay * *mean + (1.0 - decay) * w;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config() -> OptimiserConfig {
        OptimiserConfig {
            steps: 100,
            batch_size: 1,
            learning_rate: 0.1,
            final_learning_rate: 0.001,
            warm_up_steps: 10,
            weight_decay: 0.5,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            max_gradient_norm: 1.0,
            ema_decay: 0.99,
        }
    }

    #[test]
    fn adamw_two_steps_match_hand_values() {
        let mut weights = [1.0, 1.0];
        let mut moments = Moments::zero(2);
        adamw(&config(), 0.1, 1, &mut weights, &[true, false], &[2.0, 2.0], &mut moments);
        // The corrected moments are g and g²: a step of the learning rate, and 0.1 × 0.5 × 1 of decay.
        assert!((weights[0] - 0.85).abs() < 1e-9 && (weights[1] - 0.9).abs() < 1e-9);
        assert!((moments.first[0] - 0.2).abs() < 1e-15 && (moments.second[0] - 0.04).abs() < 1e-15);
        adamw(&config(), 0.1, 2, &mut weights, &[true, false], &[-1.0, -1.0], &mut moments);
        // m = 0.18 - 0.1 = 0.08, v = 0.0396 + 0.01 = 0.0496; m/0.19 = 0.421052632, v/0.0199 = 2.492462312, root
        // 1.578753404: a step of 0.1 × 0.266699429; decay 0.1 × 0.5 × 0.85 = 0.0425.
        assert!((weights[0] - (0.85 - 0.026_669_942_9 - 0.0425)).abs() < 1e-9, "{}", weights[0]);
        assert!((weights[1] - (0.9 - 0.026_669_942_9)).abs() < 1e-9, "{}", weights[1]);
    }

    #[test]
    fn learning_rate_schedule_has_its_end_points() {
        let rate = |step| learning_rate(&config(), step);
        assert_eq!(rate(0), 0.01);
        assert_eq!(rate(9), 0.1);
        assert!(rate(10) < 0.1);
        // Halfway between the peak at 9 and the end at 99.
        assert!((rate(54) - 0.0505).abs() < 1e-15);
        assert!((rate(99) - 0.001).abs() < 1e-17);
        let at_once = OptimiserConfig { warm_up_steps: 0, ..config() };
        assert_eq!((learning_rate(&at_once, 0), learning_rate(&at_once, 99)), (0.1, 0.001));
        let single = OptimiserConfig { warm_up_steps: 0, steps: 1, ..config() };
        assert_eq!(learning_rate(&single, 0), 0.1);
    }

    #[test]
    fn average_follows_fast_at_first() {
        let mut mean = [0.0];
        average(&mut mean, &[1.0], 0.99, 0);
        assert_eq!(mean, [0.9]); // decay 1/10
        average(&mut mean, &[1.0], 0.99, 10_000);
        assert!((mean[0] - 0.901).abs() < 1e-15); // decay 0.99, no longer 10001/10010
    }

    proptest! {
        #[test]
        fn clip_keeps_direction_and_bounds_norm(
            gradient in prop::collection::vec(-5.0..5.0, 1..20), max_norm in 0.1..10.0,
        ) {
            let before = norm(&gradient);
            let mut clipped = gradient.clone();
            clip(&mut clipped, before, max_norm);
            prop_assert!((norm(&clipped) - before.min(max_norm)).abs() < 1e-12);
            if before <= max_norm {
                prop_assert_eq!(clipped, gradient);
            } else {
                for (c, g) in clipped.iter().zip(&gradient) {
                    prop_assert!((c * before - g * max_norm).abs() < 1e-12 * before);
                }
            }
        }
    }
}
