//! What shared code may ask of any error. Each crate has one small `Error` enum; only these two
//! questions are common to all of them, exact protocol codes are each head's own table.

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The named thing does not exist.
    NotFound,
    /// It exists already, or its state forbids the operation.
    Conflict,
    /// The caller is not allowed to.
    Denied,
    /// The request itself is wrong.
    Invalid,
    /// A limit is reached.
    Exhausted,
    /// Not now: shutting down, not the leader, storage stopped.
    Unavailable,
    /// A bug or a broken invariant on our side.
    Internal,
}

/// Whether the same request may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It never will.
    Never,
    /// It may at once.
    Now,
    /// It may after a pause.
    After,
}
