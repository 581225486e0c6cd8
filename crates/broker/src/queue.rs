//! Queues: a topic, and a cursor that knows which of its messages are settled.
//!
//! A queue's *lanes* are the partitions of its topic. Publishing ([`publish`](Queue::publish))
//! appends to them; handing out ([`dispatch`]) goes over what is in memory under the queue's lock
//! and gives consumers ([`consumer`]) and those who wait ([`Queue::take`]) what they have credit
//! for; settling moves the cursor ([`cursor`]). A message that was looked at and is not settled has
//! a slot ([`lane`]), which says what it waits for. The text of a message is in the log only.
//!
//! What a restart must know is in the journal ([`journal`]); dead letters are moved by one entry of
//! the write-ahead log ([`dead`]). What happens without being asked for is done by a few tasks for
//! all queues ([`run`]). Lists and totals are in [`overview`].
//!
//! Locks: a queue's state is locked before those of streams. Several queues are locked only to move
//! a message, in the order of their ids. Nothing of the table of queues is locked within.

mod config;
mod consumer;
mod cursor;
mod dead;
mod dedup;
mod delivery;
mod dispatch;
mod handle;
mod journal;
mod kept;
mod lane;
mod leave;
mod load;
mod metrics;
mod overview;
mod publish;
mod queues;
mod read;
mod run;
mod settings;
mod settle;
mod slots;
mod state;
mod window;

pub use config::Config;
pub use consumer::{Consumer, ConsumerEvent, ConsumerId, ConsumerSettings, Credit};
pub use delivery::{Delivery, Extended, Outcome, QueueStats, Receipt, Take, Verdict};
pub use handle::Queue;
pub use publish::Publication;
pub(crate) use queues::QueueParts;
pub use queues::{DEFAULT_NAMESPACE, Queues};
pub use settings::{
    DeadLetter, Dedup, DedupScope, DeleteWhen, LANES_MAX, Overflow, Owner, QueueSettings,
};
pub use settle::Settled;

/// A queue's identity; a queue of the same name that is declared later has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub uuid::Uuid);

/// What [`Queues::declare`] found or made.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The queue.
    pub queue: Queue,
    /// Whether it was made.
    pub created: bool,
}
