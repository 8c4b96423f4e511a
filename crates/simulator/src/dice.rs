//! Randomness as an input: one stream of numbers per concern, all from one seed.
//!
//! Each concern draws from a generator of its own, so that one more draw in one place does not
//! shift what happens in another, and a saved world goes on exactly where it stopped.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// What is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Concern {
    /// Whether a call goes wrong.
    Calls,
    /// Whether a look goes wrong.
    Looks,
    /// How fast Auto Scaling groups are.
    Groups,
    /// How fast machines are.
    Boot,
    /// How fast members of etcd are.
    Etcd,
    /// How fast pods are.
    Pods,
    /// How fast volumes are.
    Volumes,
    /// How fast target groups are.
    Targets,
    /// Whether a new node never becomes Ready.
    NeverReady,
    /// Whether capacity is not to be had.
    Stuck,
    /// Whether a member of etcd stays away.
    EtcdFault,
    /// Whether a pod is slow.
    SlowPod,
    /// Whether an operator or a failing machine gets in between.
    Meddling,
    /// Whether a part of a look goes wrong.
    Parts,
    /// Whether a look shows the past, and which.
    Past,
}

/// One generator per concern.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Dice {
    seed: u64,
    states: BTreeMap<Concern, u64>,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, states: BTreeMap::new() }
    }

    pub(crate) fn draw<T>(&mut self, concern: Concern, f: impl FnOnce(&mut Rng) -> T) -> T {
        let seed = self.seed;
        let state = self.states.entry(concern).or_insert_with(|| {
            mix(seed ^ (concern as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        });
        let mut rng = Rng::with_seed(*state);
        let drawn = f(&mut rng);
        *state = rng.get_seed();
        drawn
    }

    /// A number of seconds, both ends included.
    pub(crate) fn seconds(&mut self, concern: Concern, range: Span) -> u32 {
        self.draw(concern, |rng| rng.u32(range.0..=range.1))
    }

    /// Whether something with this probability (of a thousand) happens. Always draws, so that
    /// another rate does not shift what comes after.
    pub(crate) fn chance(&mut self, concern: Concern, per_mille: u32) -> bool {
        self.draw(concern, |rng| rng.u32(0..1000)) < per_mille
    }
}

/// Seconds, from and to.
pub(crate) type Span = (u32, u32);

/// Spreads the bits of a number, so that neighbouring seeds give unrelated streams.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A stable number for some bytes (FNV-1a, then mixed). Never used where a collision matters.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(fnv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concerns_do_not_shift_each_other() {
        let mut a = Dice::new(7);
        let mut b = Dice::new(7);
        for _ in 0..5 {
            b.seconds(Concern::Pods, (0, 100));
        }
        let next = |dice: &mut Dice| dice.seconds(Concern::Boot, (0, 1_000_000));
        assert_eq!(next(&mut a), next(&mut b));
        assert_ne!(next(&mut a), next(&mut Dice::new(8)));
    }
}
