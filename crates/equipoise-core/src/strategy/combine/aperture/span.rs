use crate::{endpoint::MAX_WEIGHT, strategy::gcd};

/// The part of a ring of endpoints that a client's arc covers.
///
/// Lengths are whole numbers. With weights of the sum W and n clients, the ring has the length W · n, an endpoint of
/// weight w takes w · n of it, and the distance between clients is W.
pub(super) struct Span {
    /// The position of the endpoint in which the arc begins.
    pub(super) first: usize,
    /// The number of endpoints of which the arc covers a part. They follow each other.
    pub(super) count: usize,
    /// By position: the length that the arc covers, or the whole length if the arc covers no part of the endpoint.
    pub(super) weights: Vec<u32>,
}

impl Span {
    /// Returns the arc of client `peer` of `peers` clients, over endpoints with these `weights`, which are above 0.
    pub(super) fn new(weights: &[u32], peer: u32, peers: u32, min_endpoints: u32) -> Self {
        let (total, n) = (weights.iter().map(|&weight| u128::from(weight)).sum::<u128>(), u128::from(peers));
        let spacings = (u128::from(min_endpoints) * n).div_ceil(weights.len().max(1) as u128).clamp(1, n);
        let start = u128::from(peer) * total;
        let end = start + spacings * total;
        let covered = |low: u128, high: u128| high.min(end).saturating_sub(low.max(start));
        let (mut first, mut count, mut at) = (0, 0, 0);
        let mut lengths = Vec::with_capacity(weights.len());
        for (position, &weight) in weights.iter().enumerate() {
            let (low, high) = (at, at + u128::from(weight) * n);
            if (low..high).contains(&start) {
                first = position;
            }
            // The arc may pass the origin of the ring.
            let length = covered(low, high) + covered(low + total * n, high + total * n);
            count += usize::from(length > 0);
            lengths.push(if length > 0 { length } else { high - low });
            at = high;
        }
        Self { first, count, weights: scaled(&lengths) }
    }
}

/// Returns the lengths as the smallest whole numbers with the same ratios. If these numbers are too large, they are
/// rounded.
fn scaled(lengths: &[u128]) -> Vec<u32> {
    let unit = lengths.iter().copied().fold(0, gcd).max(1);
    let most = lengths.iter().copied().max().unwrap_or(0) / unit;
    let shrink = most.div_ceil(u128::from(MAX_WEIGHT)).max(1) * unit;
    lengths.iter().map(|&length| ((length + shrink / 2) / shrink).max(1) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the share of the traffic of all clients that each endpoint gets, as a multiple of its share by weight.
    fn coverage(weights: &[u32], peers: u32, min_endpoints: u32) -> Vec<f64> {
        let mut covered = vec![0.0; weights.len()];
        for peer in 0..peers {
            let span = Span::new(weights, peer, peers, min_endpoints);
            let touched: Vec<usize> = (0..span.count).map(|step| (span.first + step) % weights.len()).collect();
            let total: f64 = touched.iter().map(|&at| f64::from(span.weights[at])).sum();
            for at in touched {
                covered[at] += f64::from(span.weights[at]) / total;
            }
        }
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let fair = |at: usize| f64::from(peers) * f64::from(weights[at]) / total;
        covered.iter().enumerate().map(|(at, covered)| covered / fair(at)).collect()
    }

    #[test]
    fn all_clients_together_cover_each_endpoint_by_weight() {
        let unequal: Vec<u32> = (0..40).map(|at| 1 + at * 7 % 13).collect();
        for weights in [&[1; 10][..], &[1; 97], &[5, 1, 1], &unequal, &[1_000_000, 999_983, 1]] {
            for peers in [1, 2, 3, 7, 20, 101] {
                for min_endpoints in [1, 2, 12, 1000] {
                    for (at, share) in coverage(weights, peers, min_endpoints).into_iter().enumerate() {
                        // Large ratios are rounded, so the share of a millionth may be wrong by half.
                        let most = if weights[at] == 1 && weights.len() == 3 { 0.5 } else { 1e-3 };
                        assert!((share - 1.0).abs() < most, "{weights:?} {peers} {min_endpoints}: {at} gets {share}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_arc_has_fractional_ends() {
        // With three clients, ten endpoints and a minimum of one, each client covers three endpoints and a third.
        let spans = [0, 1, 2].map(|peer| Span::new(&[1; 10], peer, 3, 1));
        assert_eq!(spans.each_ref().map(|span| (span.first, span.count)), [(0, 4), (3, 4), (6, 4)]);
        assert_eq!(spans[0].weights, [3, 3, 3, 1, 3, 3, 3, 3, 3, 3]);
        assert_eq!(spans[1].weights[3..7], [2, 3, 3, 2]);
    }

    #[test]
    fn an_arc_holds_the_minimum_and_never_more_than_the_ring() {
        assert_eq!(Span::new(&[1; 100], 7, 100, 12).count, 12);
        assert_eq!(Span::new(&[1; 100], 95, 100, 12).first, 95);
        let whole = Span::new(&[1; 5], 2, 4, 12);
        assert_eq!((whole.count, &whole.weights[..]), (5, &[1; 5][..]));
        assert_eq!(Span::new(&[], 0, 1, 12).count, 0);
    }
}
