//! Time, limits, order, dead letters.
