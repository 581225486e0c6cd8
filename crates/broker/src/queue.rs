//! Queues: a topic with a cursor.

mod delivery;
mod settings;
mod skeleton;

pub use delivery::{Delivery, Extended, Outcome, QueueStats, Receipt, Take, Verdict};
pub use settings::{
    DeadLetter, Dedup, DedupScope, DeleteWhen, LANES_MAX, Overflow, Owner, QueueSettings,
};
pub use skeleton::{
    Consumer, ConsumerEvent, ConsumerId, ConsumerSettings, Credit, Declared, Publication, Queue,
    QueueId, Queues, Settled,
};
