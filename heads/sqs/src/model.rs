//! Every action's members and answer, declared once.
//!
//! A member's line says whether it is required, its type, its name in JSON, and its name in Query
//! (a list's or map's items are numbered below it). From it come the struct, how both protocols
//! read it, and what documents say. An answer's line says its name in JSON and the element it is in
//! XML.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::error::Failure;
use crate::wire::query::Scope;
use crate::wire::read::Keyed;
use crate::wire::write::{Always, Binary, Pairs, Tags, element};
use crate::wire::{Blob, Body, Input, List, Map, Member as Read, Text, Write};

/// A member of an action's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its name in Query.
    pub query: &'static str,
    /// Its type: string, integer, blob, list, map, structure.
    pub kind: &'static str,
    /// Whether it has to be given.
    pub required: bool,
}

macro_rules! required {
    (required) => {
        true
    };
    (optional) => {
        false
    };
    (checked) => {
        true
    };
}

/// Whether its absence is an error here; a `checked` member's handler has words of its own.
macro_rules! demanded {
    (required) => {
        true
    };
    ($other:ident) => {
        false
    };
}

macro_rules! inputs {
    ($($(#[$doc:meta])* $input:ident {
        $($need:ident $field:ident: $kind:ty = $name:tt / $query:tt;)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $input<'a> {
            $(pub(crate) $field: $kind,)*
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $input<'a> {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<'de> Visitor<'de> for Fields {
                    type Value = $input<'de>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                        Ok($input::default())
                    }

                    fn visit_map<A: MapAccess<'de>>(
                        self,
                        mut from: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut input = $input::default();
                        while let Some(key) = from.next_key::<Text<'de>>()? {
                            match &*key {
                                $($name => input.$field = from.next_value()?,)*
                                _ => {
                                    from.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(input)
                    }
                }
                from.deserialize_any(Fields)
            }
        }

        impl<'a> Input<'a> for $input<'a> {
            const MEMBERS: &'static [Member] = &[
                $(Member {
                    name: $name,
                    query: $query,
                    kind: <$kind as Read<'a>>::KIND,
                    required: required!($need),
                },)*
            ];

            fn query(scope: Scope<'_, 'a>) -> Result<Self, Failure> {
                Ok(Self {
                    $($field: Read::query(scope, $query)?,)*
                })
            }

            fn missing(&self) -> Option<&'static str> {
                $(if demanded!($need) && !Read::is_there(&self.$field) {
                    return Some($name);
                })*
                None
            }
        }

        impl<'a> Read<'a> for $input<'a> {
            const KIND: &'static str = "structure";

            fn is_there(&self) -> bool {
                true
            }

            fn query(scope: Scope<'_, 'a>, name: &str) -> Result<Self, Failure> {
                Input::query(scope.inner(name))
            }
        }
    )*};
}

macro_rules! outputs {
    ($($(#[$doc:meta])* $output:ident {
        $($field:ident: $kind:ty = $name:literal / $element:literal;)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $output {
            $(pub(crate) $field: $kind,)*
        }

        impl Write for $output {
            fn json(&self, out: &mut Vec<u8>) {
                out.push(b'{');
                let from = out.len();
                $(if !self.$field.is_absent() {
                    if out.len() > from {
                        out.push(b',');
                    }
                    out.extend_from_slice(concat!("\"", $name, "\":").as_bytes());
                    self.$field.json(out);
                })*
                out.push(b'}');
            }

            fn xml(&self, name: &str, out: &mut Vec<u8>) {
                element(name, out, |out| {
                    $(if !self.$field.is_absent() {
                        self.$field.xml($element, out);
                    })*
                });
            }
        }
    )*};
}

inputs! {
    CreateQueue {
        checked queue_name: Text<'a> = "QueueName" / "QueueName";
        optional attributes: Map<'a, Text<'a>> = "Attributes" / "Attribute";
        optional tags: Map<'a, Text<'a>, Keyed> = "tags" / "Tag";
    }
    /// What only a queue is named in: DeleteQueue, PurgeQueue, ListQueueTags.
    OfQueue {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
    }
    GetQueueUrl {
        checked queue_name: Text<'a> = "QueueName" / "QueueName";
        optional owner: Text<'a> = "QueueOwnerAWSAccountId" / "QueueOwnerAWSAccountId";
    }
    ListQueues {
        optional prefix: Text<'a> = "QueueNamePrefix" / "QueueNamePrefix";
        optional max_results: Option<i64> = "MaxResults" / "MaxResults";
        optional next_token: Text<'a> = "NextToken" / "NextToken";
    }
    GetQueueAttributes {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        optional names: List<Text<'a>> = "AttributeNames" / "AttributeName";
    }
    SetQueueAttributes {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        required attributes: Map<'a, Text<'a>> = "Attributes" / "Attribute";
    }
    TagQueue {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        required tags: Map<'a, Text<'a>, Keyed> = "Tags" / "Tag";
    }
    UntagQueue {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        checked keys: List<Text<'a>> = "TagKeys" / "TagKey";
    }
    AddPermission {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        required label: Text<'a> = "Label" / "Label";
        checked accounts: List<Text<'a>> = "AWSAccountIds" / "AWSAccountId";
        required actions: List<Text<'a>> = "Actions" / "ActionName";
    }
    RemovePermission {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        required label: Text<'a> = "Label" / "Label";
    }
    /// The value of a message's attribute.
    Value {
        optional data_type: Text<'a> = "DataType" / "DataType";
        optional string: Option<Text<'a>> = "StringValue" / "StringValue";
        optional binary: Option<Blob> = "BinaryValue" / "BinaryValue";
    }
    SendMessage {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        required body: Text<'a> = "MessageBody" / "MessageBody";
        optional delay: Option<i64> = "DelaySeconds" / "DelaySeconds";
        optional attributes: Map<'a, Value<'a>> = "MessageAttributes" / "MessageAttribute";
        optional system: Map<'a, Value<'a>> = "MessageSystemAttributes" / "MessageSystemAttribute";
        optional dedup: Option<Text<'a>> = "MessageDeduplicationId" / "MessageDeduplicationId";
        optional group: Option<Text<'a>> = "MessageGroupId" / "MessageGroupId";
    }
    SendEntry {
        checked id: Text<'a> = "Id" / "Id";
        checked body: Text<'a> = "MessageBody" / "MessageBody";
        optional delay: Option<i64> = "DelaySeconds" / "DelaySeconds";
        optional attributes: Map<'a, Value<'a>> = "MessageAttributes" / "MessageAttribute";
        optional system: Map<'a, Value<'a>> = "MessageSystemAttributes" / "MessageSystemAttribute";
        optional dedup: Option<Text<'a>> = "MessageDeduplicationId" / "MessageDeduplicationId";
        optional group: Option<Text<'a>> = "MessageGroupId" / "MessageGroupId";
    }
    SendMessageBatch {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        checked entries: List<SendEntry<'a>> = "Entries" / "SendMessageBatchRequestEntry";
    }
    ReceiveMessage {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        optional max: Option<i64> = "MaxNumberOfMessages" / "MaxNumberOfMessages";
        optional visibility: Option<i64> = "VisibilityTimeout" / "VisibilityTimeout";
        optional wait: Option<i64> = "WaitTimeSeconds" / "WaitTimeSeconds";
        optional system_names: List<Text<'a>> = "MessageSystemAttributeNames" / "AttributeName";
        optional old_names: List<Text<'a>> = "AttributeNames" / "AttributeName";
        optional names: List<Text<'a>> = "MessageAttributeNames" / "MessageAttributeName";
        optional attempt: Option<Text<'a>> = "ReceiveRequestAttemptId" / "ReceiveRequestAttemptId";
    }
    DeleteMessage {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        required receipt: Text<'a> = "ReceiptHandle" / "ReceiptHandle";
    }
    DeleteEntry {
        checked id: Text<'a> = "Id" / "Id";
        checked receipt: Text<'a> = "ReceiptHandle" / "ReceiptHandle";
    }
    DeleteMessageBatch {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        checked entries: List<DeleteEntry<'a>> = "Entries" / "DeleteMessageBatchRequestEntry";
    }
    ChangeMessageVisibility {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        required receipt: Text<'a> = "ReceiptHandle" / "ReceiptHandle";
        required visibility: Option<i64> = "VisibilityTimeout" / "VisibilityTimeout";
    }
    VisibilityEntry {
        checked id: Text<'a> = "Id" / "Id";
        checked receipt: Text<'a> = "ReceiptHandle" / "ReceiptHandle";
        optional visibility: Option<i64> = "VisibilityTimeout" / "VisibilityTimeout";
    }
    ChangeMessageVisibilityBatch {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        checked entries: List<VisibilityEntry<'a>> = "Entries" / "ChangeMessageVisibilityBatchRequestEntry";
    }
    ListDeadLetterSourceQueues {
        required queue_url: Text<'a> = "QueueUrl" / "QueueUrl";
        optional max_results: Option<i64> = "MaxResults" / "MaxResults";
        optional next_token: Text<'a> = "NextToken" / "NextToken";
    }
    StartMessageMoveTask {
        required source: Text<'a> = "SourceArn" / "SourceArn";
        optional destination: Text<'a> = "DestinationArn" / "DestinationArn";
        optional rate: Option<i64> = "MaxNumberOfMessagesPerSecond" / "MaxNumberOfMessagesPerSecond";
    }
    CancelMessageMoveTask {
        required handle: Text<'a> = "TaskHandle" / "TaskHandle";
    }
    ListMessageMoveTasks {
        required source: Text<'a> = "SourceArn" / "SourceArn";
        optional max_results: Option<i64> = "MaxResults" / "MaxResults";
    }
}

outputs! {
    QueueUrl {
        url: String = "QueueUrl" / "QueueUrl";
    }
    QueueUrls {
        urls: Vec<String> = "QueueUrls" / "QueueUrl";
        next_token: Option<String> = "NextToken" / "NextToken";
    }
    SourceQueues {
        urls: Always<String> = "queueUrls" / "QueueUrl";
        next_token: Option<String> = "NextToken" / "NextToken";
    }
    QueueAttributes {
        attributes: Pairs<&'static str, String> = "Attributes" / "Attribute";
    }
    QueueTags {
        tags: Tags = "Tags" / "Tag";
    }
    Sent {
        body_md5: String = "MD5OfMessageBody" / "MD5OfMessageBody";
        attributes_md5: Option<String> = "MD5OfMessageAttributes" / "MD5OfMessageAttributes";
        system_md5: Option<String> = "MD5OfMessageSystemAttributes" / "MD5OfMessageSystemAttributes";
        id: String = "MessageId" / "MessageId";
        sequence: Option<String> = "SequenceNumber" / "SequenceNumber";
    }
    SentEntry {
        entry: String = "Id" / "Id";
        id: String = "MessageId" / "MessageId";
        body_md5: String = "MD5OfMessageBody" / "MD5OfMessageBody";
        attributes_md5: Option<String> = "MD5OfMessageAttributes" / "MD5OfMessageAttributes";
        system_md5: Option<String> = "MD5OfMessageSystemAttributes" / "MD5OfMessageSystemAttributes";
        sequence: Option<String> = "SequenceNumber" / "SequenceNumber";
    }
    SentBatch {
        successful: Always<SentEntry> = "Successful" / "SendMessageBatchResultEntry";
        failed: Vec<Failed> = "Failed" / "BatchResultErrorEntry";
    }
    Failed {
        entry: String = "Id" / "Id";
        is_senders: bool = "SenderFault" / "SenderFault";
        code: &'static str = "Code" / "Code";
        message: String = "Message" / "Message";
    }
    Done {
        entry: String = "Id" / "Id";
    }
    Deleted {
        successful: Always<Done> = "Successful" / "DeleteMessageBatchResultEntry";
        failed: Vec<Failed> = "Failed" / "BatchResultErrorEntry";
    }
    Changed {
        successful: Always<Done> = "Successful" / "ChangeMessageVisibilityBatchResultEntry";
        failed: Vec<Failed> = "Failed" / "BatchResultErrorEntry";
    }
    ValueOut {
        string: Option<Body> = "StringValue" / "StringValue";
        binary: Option<Binary> = "BinaryValue" / "BinaryValue";
        data_type: String = "DataType" / "DataType";
    }
    Message {
        id: String = "MessageId" / "MessageId";
        receipt: String = "ReceiptHandle" / "ReceiptHandle";
        body_md5: String = "MD5OfBody" / "MD5OfBody";
        body: Body = "Body" / "Body";
        attributes: Pairs<&'static str, String> = "Attributes" / "Attribute";
        attributes_md5: Option<String> = "MD5OfMessageAttributes" / "MD5OfMessageAttributes";
        message_attributes: Pairs<String, ValueOut> = "MessageAttributes" / "MessageAttribute";
    }
    Received {
        messages: Vec<Message> = "Messages" / "Message";
    }
    TaskHandle {
        handle: String = "TaskHandle" / "TaskHandle";
    }
    Cancelled {
        moved: i64 = "ApproximateNumberOfMessagesMoved" / "ApproximateNumberOfMessagesMoved";
    }
    Task {
        handle: Option<String> = "TaskHandle" / "TaskHandle";
        status: &'static str = "Status" / "Status";
        source: String = "SourceArn" / "SourceArn";
        destination: Option<String> = "DestinationArn" / "DestinationArn";
        rate: Option<i64> = "MaxNumberOfMessagesPerSecond" / "MaxNumberOfMessagesPerSecond";
        moved: i64 = "ApproximateNumberOfMessagesMoved" / "ApproximateNumberOfMessagesMoved";
        to_move: Option<i64> = "ApproximateNumberOfMessagesToMove" / "ApproximateNumberOfMessagesToMove";
        failure: Option<String> = "FailureReason" / "FailureReason";
        started: i64 = "StartedTimestamp" / "StartedTimestamp";
    }
    Tasks {
        tasks: Always<Task> = "Results" / "ListMessageMoveTasksResultEntry";
    }
}
