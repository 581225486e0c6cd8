//! Limits and choices of transcoding, each with a name.

/// What a message may cost. Each limit is compared before anything is allocated for what it bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages inside each other; a list of `google.protobuf.Value` is one too.
    pub depth_max: u32,
    /// Bytes of the input.
    pub input_bytes_max: usize,
    /// Bytes of the output. A few bytes of JSON can stand for many, and the other way round.
    pub output_bytes_max: usize,
    /// Bytes of one text or byte string, decoded.
    pub string_bytes_max: usize,
    /// Values, counted one by one: two bytes of input can be a message with a table of its own.
    pub elements_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 100,
            input_bytes_max: 4 << 20,
            output_bytes_max: 16 << 20,
            string_bytes_max: 4 << 20,
            elements_max: 1 << 20,
        }
    }
}

/// What to do with what the schema does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unknown {
    /// JSON: an error. Protobuf and Thrift: left out and counted, for that is how they evolve.
    #[default]
    Reject,
    /// Left out and counted, in JSON too; unknown names of enums leave their field out.
    Ignore,
}

/// Choices of one transcoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// What a message may cost.
    pub limits: Limits,
    /// What to do with what the schema does not know.
    pub unknown: Unknown,
    /// JSON: write fields without presence even when they are zero or empty.
    pub emit_defaults: bool,
    /// JSON: write the names of the definition instead of those in lowerCamelCase.
    pub original_names: bool,
    /// JSON: write enums as numbers.
    pub enum_numbers: bool,
}
