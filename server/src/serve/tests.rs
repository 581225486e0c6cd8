//! Left for the next step.
