//! Values that differ between clusters, as a range.

/// The least and the most of several values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread<T> {
    pub(crate) least: T,
    pub(crate) most: T,
}

impl<T: Copy + Ord> Spread<T> {
    /// Returns the spread of a single value.
    pub(crate) fn of(value: T) -> Self {
        Self { least: value, most: value }
    }

    /// Returns the spread over both.
    pub(crate) fn with(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most) }
    }

    /// Returns the spread of all values, or `None` if there is none.
    pub(crate) fn over(values: impl IntoIterator<Item = T>) -> Option<Self> {
        values.into_iter().map(Self::of).reduce(Self::with)
    }

    /// Returns `3 to 42`, or `3` if all values are the same.
    pub(crate) fn text(self, show: impl Fn(T) -> String) -> String {
        let (least, most) = (show(self.least), show(self.most));
        if least == most { least } else { format!("{least} to {most}") }
    }
}

/// Returns the spread of both where there are two.
pub(crate) fn joined<T: Copy + Ord>(
    one: Option<Spread<T>>,
    other: Option<Spread<T>>,
) -> Option<Spread<T>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.with(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use refit_model::Period;

    use super::*;
    use crate::time::duration;

    #[test]
    fn a_spread_is_a_range_only_where_values_differ() {
        let text = |values: [u32; 3]| Spread::over(values).unwrap().text(|n| n.to_string());
        assert_eq!(text([7, 3, 42]), "3 to 42");
        assert_eq!(text([4, 4, 4]), "4");
        // What reads the same is no range.
        let long = Spread::over([Period::minutes(25), Period::seconds(1510)]).unwrap();
        assert_eq!(long.text(duration), "25 min");
        assert_eq!(Spread::<u32>::over([]), None);
    }
}
