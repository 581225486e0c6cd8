//! What is served: one table, and one file per group of actions.

mod batch;
mod moves;
mod permissions;
mod queues;
mod receive;
mod send;
mod settle;
mod tags;

use std::sync::Arc;

use broker::queue::{Queue, Queues};
use bytes::Bytes;
use net::http::{Request, Response};

use crate::Shared;
use crate::error::{Code, Failure};
use crate::limits;
use crate::model::{self, Member};
use crate::receipt::Handle;
use crate::wire::{self, Members, Protocol, Write};

pub(crate) use send::publish;

/// An action in the table of what is served.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub members: &'static [Member],
    /// What there is to say about it.
    pub note: &'static str,
}

macro_rules! actions {
    ($($name:literal $input:ident $note:literal => $handler:path;)*) => {
        /// Everything that is served, by name.
        pub const ACTIONS: &[Action] = &[
            $(Action { name: $name, members: <model::$input<'static> as wire::Input<'static>>::MEMBERS, note: $note },)*
        ];

        /// Reads, carries out, writes.
        pub(crate) async fn dispatch(
            context: &Context<'_>,
            action: &str,
            members: Members<'_>,
        ) -> Result<Response, Failure> {
            match action {
                $($name => {
                    context.shared.metrics.request($name);
                    let input: model::$input<'_> = members.read()?;
                    let output = Box::pin($handler(context, input)).await?;
                    Ok(context.answer($name, &output))
                })*
                _ => Err(unknown(context, action)),
            }
        }
    };
}

actions! {
    "AddPermission" AddPermission "kept and told as the queue's policy, which is not enforced" => permissions::add;
    "CancelMessageMoveTask" CancelMessageMoveTask "" => moves::cancel;
    "ChangeMessageVisibility" ChangeMessageVisibility "" => settle::change;
    "ChangeMessageVisibilityBatch" ChangeMessageVisibilityBatch "" => settle::change_batch;
    "CreateQueue" CreateQueue "" => queues::create;
    "DeleteMessage" DeleteMessage "" => settle::delete;
    "DeleteMessageBatch" DeleteMessageBatch "" => settle::delete_batch;
    "DeleteQueue" OfQueue "" => queues::delete;
    "GetQueueAttributes" GetQueueAttributes "" => queues::attributes;
    "GetQueueUrl" GetQueueUrl "the owner is not looked at" => queues::url;
    "ListDeadLetterSourceQueues" ListDeadLetterSourceQueues "" => queues::sources;
    "ListMessageMoveTasks" ListMessageMoveTasks "" => moves::list;
    "ListQueueTags" OfQueue "" => tags::list;
    "ListQueues" ListQueues "" => queues::list;
    "PurgeQueue" OfQueue "once in `sqs.purge_interval`" => queues::purge;
    "ReceiveMessage" ReceiveMessage "waits without polling" => receive::receive;
    "RemovePermission" RemovePermission "" => permissions::remove;
    "SendMessage" SendMessage "answered when it is on disk" => send::send;
    "SendMessageBatch" SendMessageBatch "answered when all of it is on disk" => send::send_batch;
    "SetQueueAttributes" SetQueueAttributes "" => queues::set_attributes;
    "StartMessageMoveTask" StartMessageMoveTask "goes on after a restart" => moves::start;
    "TagQueue" TagQueue "" => tags::tag;
    "UntagQueue" UntagQueue "" => tags::untag;
}

/// Whether there is such an action.
pub(crate) fn is_known(action: &str) -> bool {
    ACTIONS.iter().any(|known| known.name == action)
}

fn unknown(context: &Context<'_>, action: &str) -> Failure {
    match context.protocol {
        Protocol::Json => Failure::new(Code::UnknownOperation, "There is no such action."),
        Protocol::Query if action.is_empty() => Failure::new(
            Code::MissingAction,
            "The request must contain the parameter Action.",
        ),
        Protocol::Query => Failure::new(
            Code::Action,
            format!("The action {action} is not valid for this endpoint."),
        ),
    }
}

/// What a handler knows besides its input.
pub(crate) struct Context<'r> {
    pub(crate) shared: &'r Arc<Shared>,
    pub(crate) request: &'r Request,
    /// Whose key it is signed with.
    pub(crate) sender: &'r str,
    pub(crate) protocol: Protocol,
    /// The request's id.
    pub(crate) id: &'r str,
    pub(crate) now_ms: i64,
}

impl Shared {
    pub(crate) fn queues(&self) -> &Queues {
        self.broker.queues()
    }

    pub(crate) fn arn(&self, name: &str) -> String {
        format!(
            "arn:aws:sqs:{}:{}:{name}",
            self.config.region, self.config.account_id
        )
    }

    /// The queue called `name`, if SQS can see it.
    pub(crate) fn queue(&self, name: &str) -> Result<Queue, Failure> {
        let found = self.queues().get(&self.config.namespace, name);
        found.filter(is_visible).ok_or_else(Failure::no_queue)
    }

    /// All queues that SQS can see.
    pub(crate) fn visible_queues(&self) -> Vec<Queue> {
        let mut queues = self.queues().list(Some(&self.config.namespace));
        queues.retain(is_visible);
        queues
    }
}

/// Whether SQS can see a queue: it has a name that a queue of SQS can have, and belongs to no
/// connection, which it would be hidden from others by.
pub(crate) fn is_visible(queue: &Queue) -> bool {
    limits::is_queue_name(queue.name()) && queue.settings().owner.is_none()
}

impl Context<'_> {
    fn answer(&self, action: &'static str, output: &dyn Write) -> Response {
        wire::answer(self.protocol, action, self.id, output)
    }

    /// The queue that a URL names by its last part.
    pub(crate) fn queue(&self, url: &str) -> Result<Queue, Failure> {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let name = path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        self.shared.queue(name)
    }

    /// The URL of the queue called `name`, as this client can reach it.
    pub(crate) fn url(&self, name: &str) -> String {
        let config = &self.shared.config;
        let account = &config.account_id;
        if !config.advertised.is_empty() {
            return format!(
                "{}/{account}/{name}",
                config.advertised.trim_end_matches('/')
            );
        }
        let peer = &self.request.peer;
        let scheme = if peer.tls.is_some() { "https" } else { "http" };
        let host = self.request.header("host").filter(|host| !host.is_empty());
        match host {
            Some(host) => format!("{scheme}://{host}/{account}/{name}"),
            None => format!("{scheme}://{}/{account}/{name}", peer.local),
        }
    }

    /// A text of the request without copying it, where it stands there as it is.
    pub(crate) fn shared_bytes(&self, text: &str) -> Bytes {
        let body = &self.request.body;
        let (whole, part) = (body.as_ptr_range(), text.as_bytes().as_ptr_range());
        if whole.start <= part.start && part.end <= whole.end {
            body.slice_ref(text.as_bytes())
        } else {
            Bytes::copy_from_slice(text.as_bytes())
        }
    }

    /// What a receipt handle of `queue` says; `None` if it is none.
    pub(crate) fn handle(&self, queue: &Queue, text: &str) -> Option<Handle> {
        let handle = self.shared.sealer.open(text)?;
        (handle.queue == queue.id().0).then_some(handle)
    }
}
