//! The table of methods, and what reads and writes them.

use bytes::Bytes;

use super::{Malformed, Name, Reader, Table, Writer};

macro_rules! kind {
    (short) => {
        Name
    };
    (long) => {
        Bytes
    };
    (table) => {
        Table
    };
    (bit) => {
        bool
    };
    ($int:ident) => {
        $int
    };
}

macro_rules! read {
    ($reader:ident, short) => {
        Name::from($reader.short()?)
    };
    ($reader:ident, long) => {
        Bytes::copy_from_slice($reader.long()?)
    };
    ($reader:ident, $kind:ident) => {
        $reader.$kind()?
    };
}

macro_rules! write {
    ($writer:ident, $value:ident, short) => {
        $writer.short($value.as_bytes())
    };
    ($writer:ident, $value:ident, long) => {
        $writer.long($value)
    };
    ($writer:ident, $value:ident, table) => {
        $writer.table($value)
    };
    ($writer:ident, $value:ident, $kind:ident) => {
        $writer.$kind(*$value)
    };
}

macro_rules! methods {
    ($($class:literal $id:literal $name:ident $wire:literal
       ( $($field:ident : $kind:ident),* );)*) => {
        /// A method with its arguments, in the order of the wire.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Method {
            $(
                #[doc = concat!("`", $wire, "`")]
                $name { $(#[doc = "See the specification."] $field: kind!($kind)),* },
            )*
        }

        impl Method {
            /// Reads the arguments of a method.
            ///
            /// # Errors
            /// An unknown method, or arguments that are malformed.
            pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
                let mut reader = Reader::new(payload);
                let ids = (reader.u16()?, reader.u16()?);
                let method = match ids {
                    $(($class, $id) => {
                        $(let $field = read!(reader, $kind);)*
                        Self::$name { $($field),* }
                    })*
                    (class, id) => return Err(Malformed::UnknownMethod(class, id)),
                };
                reader.end()?;
                Ok(method)
            }

            /// Writes class, id and arguments.
            pub fn encode(&self, writer: &mut Writer<'_>) {
                let (class, id) = self.ids();
                writer.u16(class);
                writer.u16(id);
                match self {
                    $(Self::$name { $($field),* } => { $(write!(writer, $field, $kind);)* })*
                }
            }

            /// Class and id.
            #[must_use]
            pub fn ids(&self) -> (u16, u16) {
                match self {
                    $(Self::$name { .. } => ($class, $id),)*
                }
            }

            /// The name that the specification gives it.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $wire,)*
                }
            }
        }

        /// The name of a method; `None` when there is none.
        #[must_use]
        pub fn name(class: u16, id: u16) -> Option<&'static str> {
            match (class, id) {
                $(($class, $id) => Some($wire),)*
                _ => None,
            }
        }

        /// Class and id of every method.
        pub const ALL: &[(u16, u16)] = &[$(($class, $id)),*];
    };
}

methods! {
    10 10 Start "connection.start" (version_major: u8, version_minor: u8, server_properties: table, mechanisms: long, locales: long);
    10 11 StartOk "connection.start-ok" (client_properties: table, mechanism: short, response: long, locale: short);
    10 20 Secure "connection.secure" (challenge: long);
    10 21 SecureOk "connection.secure-ok" (response: long);
    10 30 Tune "connection.tune" (channel_max: u16, frame_max: u32, heartbeat: u16);
    10 31 TuneOk "connection.tune-ok" (channel_max: u16, frame_max: u32, heartbeat: u16);
    10 40 Open "connection.open" (virtual_host: short, capabilities: short, insist: bit);
    10 41 OpenOk "connection.open-ok" (known_hosts: short);
    10 50 Close "connection.close" (code: u16, text: short, class: u16, method: u16);
    10 51 CloseOk "connection.close-ok" ();
    10 60 Blocked "connection.blocked" (reason: short);
    10 61 Unblocked "connection.unblocked" ();
    10 70 UpdateSecret "connection.update-secret" (secret: long, reason: short);
    10 71 UpdateSecretOk "connection.update-secret-ok" ();
    20 10 ChannelOpen "channel.open" (out_of_band: short);
    20 11 ChannelOpenOk "channel.open-ok" (channel_id: long);
    20 20 Flow "channel.flow" (active: bit);
    20 21 FlowOk "channel.flow-ok" (active: bit);
    20 40 ChannelClose "channel.close" (code: u16, text: short, class: u16, method: u16);
    20 41 ChannelCloseOk "channel.close-ok" ();
    30 10 AccessRequest "access.request" (realm: short, exclusive: bit, passive: bit, active: bit, write: bit, read: bit);
    30 11 AccessRequestOk "access.request-ok" (ticket: u16);
    40 10 ExchangeDeclare "exchange.declare" (ticket: u16, exchange: short, kind: short, passive: bit, durable: bit, auto_delete: bit, internal: bit, nowait: bit, arguments: table);
    40 11 ExchangeDeclareOk "exchange.declare-ok" ();
    40 20 ExchangeDelete "exchange.delete" (ticket: u16, exchange: short, if_unused: bit, nowait: bit);
    40 21 ExchangeDeleteOk "exchange.delete-ok" ();
    40 30 ExchangeBind "exchange.bind" (ticket: u16, destination: short, source: short, routing_key: short, nowait: bit, arguments: table);
    40 31 ExchangeBindOk "exchange.bind-ok" ();
    40 40 ExchangeUnbind "exchange.unbind" (ticket: u16, destination: short, source: short, routing_key: short, nowait: bit, arguments: table);
    40 51 ExchangeUnbindOk "exchange.unbind-ok" ();
    50 10 QueueDeclare "queue.declare" (ticket: u16, queue: short, passive: bit, durable: bit, exclusive: bit, auto_delete: bit, nowait: bit, arguments: table);
    50 11 QueueDeclareOk "queue.declare-ok" (queue: short, messages: u32, consumers: u32);
    50 20 QueueBind "queue.bind" (ticket: u16, queue: short, exchange: short, routing_key: short, nowait: bit, arguments: table);
    50 21 QueueBindOk "queue.bind-ok" ();
    50 30 QueuePurge "queue.purge" (ticket: u16, queue: short, nowait: bit);
    50 31 QueuePurgeOk "queue.purge-ok" (messages: u32);
    50 40 QueueDelete "queue.delete" (ticket: u16, queue: short, if_unused: bit, if_empty: bit, nowait: bit);
    50 41 QueueDeleteOk "queue.delete-ok" (messages: u32);
    50 50 QueueUnbind "queue.unbind" (ticket: u16, queue: short, exchange: short, routing_key: short, arguments: table);
    50 51 QueueUnbindOk "queue.unbind-ok" ();
    60 10 Qos "basic.qos" (prefetch_size: u32, prefetch_count: u16, global: bit);
    60 11 QosOk "basic.qos-ok" ();
    60 20 Consume "basic.consume" (ticket: u16, queue: short, consumer_tag: short, no_local: bit, no_ack: bit, exclusive: bit, nowait: bit, arguments: table);
    60 21 ConsumeOk "basic.consume-ok" (consumer_tag: short);
    60 30 Cancel "basic.cancel" (consumer_tag: short, nowait: bit);
    60 31 CancelOk "basic.cancel-ok" (consumer_tag: short);
    60 40 Publish "basic.publish" (ticket: u16, exchange: short, routing_key: short, mandatory: bit, immediate: bit);
    60 50 Return "basic.return" (code: u16, text: short, exchange: short, routing_key: short);
    60 60 Deliver "basic.deliver" (consumer_tag: short, delivery_tag: u64, redelivered: bit, exchange: short, routing_key: short);
    60 70 Get "basic.get" (ticket: u16, queue: short, no_ack: bit);
    60 71 GetOk "basic.get-ok" (delivery_tag: u64, redelivered: bit, exchange: short, routing_key: short, messages: u32);
    60 72 GetEmpty "basic.get-empty" (cluster_id: short);
    60 80 Ack "basic.ack" (delivery_tag: u64, multiple: bit);
    60 90 Reject "basic.reject" (delivery_tag: u64, requeue: bit);
    60 100 RecoverAsync "basic.recover-async" (requeue: bit);
    60 110 Recover "basic.recover" (requeue: bit);
    60 111 RecoverOk "basic.recover-ok" ();
    60 120 Nack "basic.nack" (delivery_tag: u64, multiple: bit, requeue: bit);
    85 10 ConfirmSelect "confirm.select" (nowait: bit);
    85 11 ConfirmSelectOk "confirm.select-ok" ();
    90 10 TxSelect "tx.select" ();
    90 11 TxSelectOk "tx.select-ok" ();
    90 20 TxCommit "tx.commit" ();
    90 21 TxCommitOk "tx.commit-ok" ();
    90 30 TxRollback "tx.rollback" ();
    90 31 TxRollbackOk "tx.rollback-ok" ();
}
