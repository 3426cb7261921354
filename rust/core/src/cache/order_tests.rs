//! Which entries the policies keep: a simulation, and plain oracles.

use super::order::{Newcomer, Order, Policy};

/// A generator of pseudo-random numbers: splitmix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn newcomer(key: u32) -> Newcomer {
    let hash = Numbers(u64::from(key)).next();
    Newcomer { hash, worth: 1.0, uses: 0 }
}

/// Share of hits among requests for keys, of which `capacity` are held.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn hit_ratio(policy: Policy, capacity: u32, requests: &[u32]) -> f64 {
    let mut order = Order::new(policy);
    order.reserve(1 << 16);
    let mut is_held = vec![false; 1 << 16];
    let mut n_hits = 0;
    for &key in requests {
        if is_held[key as usize] {
            order.touch(key);
            n_hits += 1;
            continue;
        }
        if order.len() == capacity as usize {
            let victim = order.victim().unwrap();
            order.evict(victim, newcomer(victim).hash);
            is_held[victim as usize] = false;
        }
        order.insert(key, newcomer(key));
        is_held[key as usize] = true;
    }
    f64::from(n_hits) / requests.len() as f64
}

/// Requests for 50,000 keys, the k-th as often as 1/k says.
fn zipf(n_requests: usize) -> Vec<u32> {
    let mut sums = Vec::with_capacity(50_000);
    let mut sum = 0.0;
    for k in 1..=50_000_u32 {
        sum += 1.0 / f64::from(k);
        sums.push(sum);
    }
    let mut numbers = Numbers(7);
    let mut draw = || {
        let at = numbers.share() * sum;
        sums.partition_point(|&sum| sum < at)
    };
    (0..n_requests).map(|_| u32::try_from(draw().min(49_999)).unwrap()).collect()
}

#[test]
fn s3fifo_hits_more_than_lru_on_zipf() {
    let requests = zipf(200_000);
    let [lru, s3fifo, gdsf] =
        [Policy::Lru, Policy::S3Fifo, Policy::Gdsf].map(|policy| hit_ratio(policy, 5_000, &requests));
    assert!(s3fifo >= lru + 0.038, "lru {lru}, s3fifo {s3fifo}, gdsf {gdsf}");
    assert!(gdsf > lru, "lru {lru}, gdsf {gdsf}");
}
