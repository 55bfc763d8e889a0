use crate::entropy::below;

/// Draws positions at random, in proportion to their weights, in constant time.
///
/// Equal weights need no table. Unequal weights use Walker's alias table. It takes 8 bytes for each position, whatever
/// the weights are, and its shares are exact to 2⁻³². It is built in one pass without auxiliary lists. Source:
/// Hübschle-Schneider and Sanders, *Parallel Weighted Random Sampling*, ESA 2019.
pub(crate) enum Lottery {
    /// All weights are equal. The value is the number of positions.
    Equal(usize),
    /// The weights are unequal. The value is Walker's alias table, with one entry for each position.
    Alias(Box<[Entry]>),
}

/// One column of the alias table. 32 random bits below `threshold` select the position of the column. Other bits select
/// the position `alias`.
pub(crate) struct Entry {
    threshold: u32,
    alias: u32,
}

impl Lottery {
    /// Creates a lottery with one position for each weight.
    pub(crate) fn new(weights: &[u32]) -> Self {
        if weights.iter().all(|weight| Some(weight) == weights.first()) {
            return Self::Equal(weights.len());
        }
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        // The unit makes all numbers whole: each column holds `total`, and each position contributes weight · n.
        let brings = |at: usize| u64::from(weights[at]) * weights.len() as u64;
        // Floating point is exact enough, and several times faster than integers of 128 bits.
        let scale = 4_294_967_296.0 / total as f64;
        let entry = |own: u64, alias: usize| Entry { threshold: (own as f64 * scale) as u32, alias: alias as u32 };
        let mut entries: Vec<Entry> =
            (0..weights.len()).map(|at| Entry { threshold: u32::MAX, alias: at as u32 }).collect();
        let mut light = (0..weights.len()).filter(|&at| brings(at) < total);
        let mut heavy = (0..weights.len()).filter(|&at| brings(at) >= total);
        // A heavy position contributes at least one column. It fills the columns of light positions until it is light
        // itself. Then the next heavy position fills its column.
        let mut donor = heavy.next().unwrap_or(0);
        let mut left = brings(donor);
        loop {
            if left >= total {
                let Some(at) = light.next() else { break };
                entries[at] = entry(brings(at), donor);
                left -= total - brings(at);
            } else {
                let Some(next) = heavy.next() else { break };
                entries[donor] = entry(left, next);
                left += brings(next) - total;
                donor = next;
            }
        }
        Self::Alias(entries.into())
    }

    /// Returns the position that 64 random bits select. There must be at least one position.
    #[inline]
    pub(crate) fn draw(&self, bits: u64) -> usize {
        let n = match self {
            Self::Equal(n) => *n,
            Self::Alias(entries) => entries.len(),
        };
        self.draw_in(below(n, (bits >> 32) as u32), bits as u32)
    }

    /// Returns the position that 32 random bits (`coin`) select in this column of the table. If all columns are used
    /// equally often, in any order, positions are selected in proportion to their weights.
    #[inline]
    pub(crate) fn draw_in(&self, column: usize, coin: u32) -> usize {
        match self {
            Self::Equal(_) => column,
            Self::Alias(entries) => match entries.get(column) {
                Some(entry) if coin >= entry.threshold => entry.alias as usize,
                _ => column,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_each_weight_exactly() {
        let weights = [5, 1, 1, 1_000_000, 0, 77];
        let Lottery::Alias(entries) = Lottery::new(&weights) else { panic!("weights differ") };
        let mut mass = vec![0f64; weights.len()];
        for (at, entry) in entries.iter().enumerate() {
            let own = if entry.alias as usize == at { 1.0 } else { f64::from(entry.threshold) / 2f64.powi(32) };
            mass[at] += own;
            mass[entry.alias as usize] += 1.0 - own;
        }
        let total: u32 = weights.iter().sum();
        for (at, &weight) in weights.iter().enumerate() {
            let share = f64::from(weight) / f64::from(total);
            assert!((mass[at] / 6.0 - share).abs() < 1e-8, "{at}: {} and {share}", mass[at] / 6.0);
        }
    }
}
