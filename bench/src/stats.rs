//! What is said of a few runs: the median, and how far they lie apart.

/// The figures of the runs of one workload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn push(&mut self, figure: f64) {
        let at = self.0.partition_point(|other| *other < figure);
        self.0.insert(at, figure);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// 0 when there is none.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match (self.0.get(middle), self.0.len() % 2) {
            (Some(upper), 0) => f64::midpoint(self.0[middle - 1], *upper),
            (Some(only), _) => *only,
            (None, _) => 0.0,
        }
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or(0.0)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let mut figures = Figures::default();
        assert_eq!(figures.median(), 0.0);
        for figure in [3.0, 1.0, 2.0] {
            figures.push(figure);
        }
        assert_eq!(
            (figures.min(), figures.median(), figures.max()),
            (1.0, 2.0, 3.0)
        );
        figures.push(10.0);
        assert_eq!(figures.median(), 2.5);
    }
}
