//! How many tokens a step may have so that it does not take too long.

use std::time::Duration;

/// Steps of fewer tokens tell little of how fast prompts are computed: reading the weights takes most of their time.
const FEWEST: usize = 16;

/// Follows how fast prompts are computed.
#[derive(Debug)]
pub(crate) struct Pace {
    target: Duration,
    /// Tokens a second; `None` before the first prompt.
    rate: Option<f64>,
}

impl Pace {
    pub fn new(target: Duration) -> Self {
        Self { target, rate: None }
    }

    /// Takes note of a step, and says how many tokens the next one should have at most. The last steps count most,
    /// since later chunks of a prompt are slower.
    pub fn after(&mut self, tokens: usize, time: Duration) -> usize {
        let seconds = time.as_secs_f64();
        if tokens >= FEWEST && seconds > 0.0 {
            let rate = tokens as f64 / seconds;
            self.rate = Some(self.rate.map_or(rate, |before| 0.5 * (before + rate)));
        }
        self.rate.map_or(FEWEST * 4, |rate| ((rate * self.target.as_secs_f64()) as usize).max(FEWEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_as_long_as_the_target_allows() {
        let mut pace = Pace::new(Duration::from_millis(100));
        let second = Duration::from_secs(1);
        assert_eq!(pace.after(1, second), 64, "nothing is known");
        assert_eq!(pace.after(1000, second), 100);
        assert_eq!(pace.after(1, second), 100, "single tokens tell nothing");
        assert_eq!(pace.after(500, second), 75);
        assert_eq!(pace.after(16, second * 100), 37);
        for _ in 0..9 {
            pace.after(16, second * 100);
        }
        assert_eq!(pace.after(1, second), 16, "prompts go on in any case");
    }
}
