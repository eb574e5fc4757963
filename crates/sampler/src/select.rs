//! Where to cut: the k largest of many values, or the fewest that hold a given mass,
//! in linear time and without sorting what is far from the cut.

use std::cmp::Ordering;

/// The last element to keep, in the order of the selection; equal values are taken from
/// the lowest index up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cut {
    /// The value of the last element kept.
    pub value: f32,
    /// Its index.
    pub index: u32,
}

impl Cut {
    /// Whether an element is kept when larger values come first.
    pub fn keeps_large(&self, index: usize, value: f32) -> bool {
        value > self.value || (value == self.value && index as u32 <= self.index)
    }

    /// Whether an element is kept when smaller values come first.
    pub fn keeps_small(&self, index: usize, value: f32) -> bool {
        value < self.value || (value == self.value && index as u32 <= self.index)
    }
}

/// Buffers of the selections, reused from step to step.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    /// The elements near the cut, with their indices.
    pub picks: Vec<(f32, u32)>,
    maxima: Vec<f32>,
    buckets: Vec<Bucket>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    mass: f64,
    count: usize,
}

const CHUNK: usize = 64;
const BUCKETS: usize = 1024;
/// Buckets per unit of the key, so that the buckets span 32 nats; larger keys share the last.
const BUCKETS_PER_NAT: f32 = 32.0;

/// By falling value, then by rising index. Zeros of both signs are equal; there is no NaN.
fn larger_first(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
}

fn smaller_first(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
}

impl Selector {
    /// Leaves the k largest values with their indices in `picks`, the k-th at `k - 1` and
    /// the others in any order. Needs 1 <= k <= values.len().
    ///
    /// The k-th largest of the maxima of small chunks is a lower bound of the k-th
    /// largest value, so one cheap pass discards nearly everything when k is small.
    fn gather_largest(&mut self, values: &[f32], k: usize) -> Cut {
        let floor = self.lower_bound(values, k);
        self.picks.clear();
        for (number, chunk) in values.chunks(CHUNK).enumerate() {
            if floor.is_some_and(|floor| crate::math::max(chunk) < floor) {
                continue;
            }
            let first = (number * CHUNK) as u32;
            let chosen = chunk.iter().zip(first..).filter(|(v, _)| floor.is_none_or(|f| **v >= f));
            self.picks.extend(chosen.map(|(&v, i)| (v, i)));
        }
        let (_, &mut (value, index), _) = self.picks.select_nth_unstable_by(k - 1, larger_first);
        self.picks.truncate(k);
        Cut { value, index }
    }

    fn lower_bound(&mut self, values: &[f32], k: usize) -> Option<f32> {
        if k >= values.len() / CHUNK {
            return None;
        }
        self.maxima.clear();
        self.maxima.extend(values.chunks(CHUNK).map(crate::math::max));
        let by_falling = |a: &f32, b: &f32| b.partial_cmp(a).unwrap_or(Ordering::Equal);
        Some(*self.maxima.select_nth_unstable_by(k - 1, by_falling).1)
    }

    /// The cut that keeps the k largest values; `None` when that is all of them.
    pub fn largest(&mut self, values: &[f32], k: usize) -> Option<Cut> {
        (k < values.len()).then(|| self.gather_largest(values, k.max(1)))
    }

    /// The n largest values with their indices, largest first.
    pub fn top(&mut self, values: &[f32], n: usize) -> &[(f32, u32)] {
        self.picks.clear();
        let n = n.min(values.len());
        if n > 0 {
            self.gather_largest(values, n);
            self.picks.sort_unstable_by(larger_first);
        }
        &self.picks
    }

    /// The cut that keeps the elements with the smallest keys, as few as hold `mass`
    /// together, but at least `min_keep`; `None` when that is all of them.
    ///
    /// Keys are >= 0. A histogram over the keys finds the bucket in which the mass is
    /// reached, and only that bucket is sorted.
    pub fn smallest_with_mass(&mut self, keys: &[f32], masses: &[f32], mass: f64, min_keep: usize) -> Option<Cut> {
        self.fill_buckets(keys, masses);
        let (mut held, mut count) = (0.0, 0);
        let reached = |held: f64, count: usize| held >= mass && count >= min_keep;
        let crossing = self.buckets.iter().position(|bucket| {
            let crosses = reached(held + bucket.mass, count + bucket.count);
            if !crosses {
                held += bucket.mass;
                count += bucket.count;
            }
            crosses
        })?;
        self.picks.clear();
        let inside = keys.iter().zip(0u32..).filter(|(key, _)| bucket_of(**key) == crossing);
        self.picks.extend(inside.map(|(&key, index)| (key, index)));
        self.picks.sort_unstable_by(smaller_first);
        let last = self.picks.iter().find(|(_, index)| {
            held += f64::from(masses[*index as usize]);
            count += 1;
            reached(held, count)
        });
        // The sum in another order may fall short by a rounding: then the whole bucket stays.
        let &(value, index) = last.or(self.picks.last())?;
        Some(Cut { value, index })
    }

    fn fill_buckets(&mut self, keys: &[f32], masses: &[f32]) {
        self.buckets.clear();
        self.buckets.resize(BUCKETS, Bucket::default());
        for (&key, &mass) in keys.iter().zip(masses) {
            let bucket = &mut self.buckets[bucket_of(key)];
            bucket.mass += f64::from(mass);
            bucket.count += 1;
        }
    }
}

fn bucket_of(key: f32) -> usize {
    ((key * BUCKETS_PER_NAT) as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(values: &[f32], order: fn(&(f32, u32), &(f32, u32)) -> Ordering) -> Vec<(f32, u32)> {
        let mut all: Vec<_> = values.iter().copied().zip(0..).collect();
        all.sort_by(order);
        all
    }

    /// Few distinct values, both zeros among them, so that ties are common.
    fn values() -> impl Strategy<Value = Vec<f32>> {
        let value =
            prop_oneof![(-8i8..8).prop_map(|v| f32::from(v) / 2.0), Just(-0.0f32), Just(0.0f32), -30.0f32..30.0];
        prop::collection::vec(value, 1..700)
    }

    proptest! {
        #[test]
        fn largest_is_the_head_of_the_sorted_list(values in values(), k in 1usize..750) {
            let mut selector = Selector::default();
            let expected = sorted(&values, larger_first);
            let head = &expected[..k.min(values.len())];
            prop_assert_eq!(selector.top(&values, k), head);
            let kept: Vec<u32> = match selector.largest(&values, k) {
                None => (0..values.len() as u32).collect(),
                Some(cut) => (0u32..).zip(&values)
                    .filter(|(i, v)| cut.keeps_large(*i as usize, **v)).map(|(i, _)| i).collect(),
            };
            let mut ids: Vec<u32> = head.iter().map(|(_, i)| *i).collect();
            ids.sort_unstable();
            prop_assert_eq!(kept, ids);
        }

        /// Masses are multiples of 1/16, so that every order of addition gives the same sum.
        #[test]
        fn mass_is_the_shortest_prefix(
            values in values(),
            mass in 0u32..3000,
            min_keep in 1usize..20,
        ) {
            let keys: Vec<f32> = values.iter().map(|v| v.abs() * 2.0).collect();
            let masses: Vec<f32> = (0..keys.len()).map(|i| (i * 37 % 16) as f32 / 16.0).collect();
            let target = f64::from(mass) / 16.0;
            let mut held = 0.0;
            let mut expected = Vec::new();
            for (_, index) in sorted(&keys, smaller_first) {
                if held >= target && expected.len() >= min_keep {
                    break;
                }
                held += f64::from(masses[index as usize]);
                expected.push(index);
            }
            expected.sort_unstable();
            let mut selector = Selector::default();
            let kept: Vec<u32> = match selector.smallest_with_mass(&keys, &masses, target, min_keep) {
                None => (0..keys.len() as u32).collect(),
                Some(cut) => (0u32..).zip(&keys)
                    .filter(|(i, key)| cut.keeps_small(*i as usize, **key)).map(|(i, _)| i).collect(),
            };
            prop_assert_eq!(kept, expected);
        }
    }
}
