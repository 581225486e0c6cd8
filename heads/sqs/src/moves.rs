//! Message move tasks: from a dead-letter queue back to where its messages came from, or elsewhere.
//!
//! A task takes messages as any consumer does, publishes them, and accepts them when they are on
//! disk at their destination; those that are not there, because it is full, stay. A crash in between
//! moves a few twice, and loses none; a FIFO queue sees the second time as what it is, within its
//! five minutes. A moved message is a new one, with an id of its own and a new time. Tasks are kept with the control state, a
//! setting per source queue, and go on after a restart; the last [`KEPT`] of a queue can be listed.

mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use broker::meta::Meta;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Shared;
use crate::error::Failure;

pub(crate) use work::resume;

/// What the settings of tasks are called, before their source queue's name.
const SETTING: &str = "sqs.moves.";
/// How many tasks of a queue are kept.
const KEPT: usize = 10;

/// How a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Status {
    Running,
    Completed,
    Cancelling,
    Cancelled,
    Failed,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
        }
    }

    pub(crate) fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Cancelling)
    }
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Task {
    pub(crate) id: String,
    /// The queues' names.
    pub(crate) source: String,
    pub(crate) destination: Option<String>,
    /// Messages a second.
    pub(crate) rate: Option<u32>,
    pub(crate) status: Status,
    pub(crate) moved: u64,
    pub(crate) to_move: u64,
    /// Milliseconds since 1970.
    pub(crate) started_ms: i64,
    pub(crate) failure: Option<String>,
}

/// All tasks, the newest of a queue last.
#[derive(Debug, Default)]
pub(crate) struct Moves(Mutex<BTreeMap<String, Vec<Task>>>);

impl Moves {
    /// What the control state keeps.
    pub(crate) fn load(meta: &Meta) -> Self {
        let mut tasks = BTreeMap::new();
        for (key, text) in meta.settings(SETTING) {
            let source = key.strip_prefix(SETTING).unwrap_or_default().to_owned();
            match serde_json::from_str(&text) {
                Ok(list) => {
                    tasks.insert(source, list);
                }
                Err(error) => tracing::warn!(key, %error, "message move tasks cannot be read"),
            }
        }
        Self(Mutex::new(tasks))
    }

    /// The tasks of a queue, the newest first.
    pub(crate) fn of(&self, source: &str) -> Vec<Task> {
        let tasks = self.0.lock();
        tasks
            .get(source)
            .into_iter()
            .flatten()
            .rev()
            .cloned()
            .collect()
    }

    /// How many run.
    fn running(&self) -> usize {
        let tasks = self.0.lock();
        tasks
            .values()
            .flatten()
            .filter(|task| task.status.is_active())
            .count()
    }

    fn active(&self) -> Vec<Task> {
        let tasks = self.0.lock();
        tasks
            .values()
            .flatten()
            .filter(|task| task.status.is_active())
            .cloned()
            .collect()
    }

    /// Adds a task if none of its queue runs, and fewer than `max` do in all.
    fn add(&self, task: Task, max: usize) -> Result<(), Failure> {
        if self.running() >= max {
            return Err(Failure::new(
                crate::error::Code::OverLimit,
                format!("The limit sqs.move_tasks_max of {max} is reached."),
            ));
        }
        let mut tasks = self.0.lock();
        let list = tasks.entry(task.source.clone()).or_default();
        if list.iter().any(|task| task.status.is_active()) {
            return Err(Failure::invalid(
                "There is already a task running. Only one active task is allowed for a source queue \
                 arn at a given time.",
            ));
        }
        list.push(task);
        if list.len() > KEPT {
            list.remove(0);
        }
        Ok(())
    }

    /// Changes a task; what it is then.
    fn change(&self, source: &str, id: &str, change: impl FnOnce(&mut Task)) -> Option<Task> {
        let mut tasks = self.0.lock();
        let task = tasks
            .get_mut(source)?
            .iter_mut()
            .find(|task| task.id == id)?;
        change(task);
        Some(task.clone())
    }

    fn text(&self, source: &str) -> String {
        let tasks = self.0.lock();
        let list = tasks.get(source).map(Vec::as_slice).unwrap_or_default();
        serde_json::to_string(list).unwrap_or_default()
    }
}

/// Makes what is known of a queue's tasks durable.
pub(crate) async fn save(shared: &Arc<Shared>, source: &str) -> Result<(), Failure> {
    let (meta, key) = (shared.broker.meta().clone(), format!("{SETTING}{source}"));
    let (of, source) = (shared.clone(), source.to_owned());
    // The text is made where it is written: of two that save, the later writes the later state.
    let saving = shared.tasks.spawn_blocking("sqs.moves", move || {
        let text = of.moves.text(&source);
        meta.set_setting(&key, &text)
    });
    match saving.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::from(broker::Error::Meta(error))),
        Err(_) => Err(Failure::from(broker::Error::ShuttingDown)),
    }
}

/// Begins a task.
pub(crate) async fn start(shared: &Arc<Shared>, task: Task) -> Result<(), Failure> {
    let source = task.source.clone();
    shared
        .moves
        .add(task.clone(), shared.config.move_tasks_max)?;
    save(shared, &source).await?;
    work::spawn(shared, task);
    Ok(())
}

/// Asks a task to end; how many it has moved. `None` if there is no such task.
pub(crate) async fn cancel(
    shared: &Arc<Shared>,
    source: &str,
    id: &str,
) -> Result<Option<Task>, Failure> {
    let mut was_running = false;
    let task = shared.moves.change(source, id, |task| {
        was_running = task.status == Status::Running;
        if was_running {
            task.status = Status::Cancelling;
        }
    });
    if was_running {
        save(shared, source).await?;
    }
    Ok(task.filter(|_| was_running))
}

/// A task's handle: base64 of JSON.
pub(crate) fn handle(id: &str, source_arn: &str) -> String {
    let json = serde_json::json!({ "taskId": id, "sourceArn": source_arn });
    BASE64.encode(json.to_string())
}

/// The id and the source's ARN in a handle.
pub(crate) fn open_handle(handle: &str) -> Option<(String, String)> {
    let json: Value = serde_json::from_slice(&BASE64.decode(handle).ok()?).ok()?;
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    Some((text("taskId")?, text("sourceArn")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str) -> Task {
        Task {
            id: id.to_owned(),
            source: "q".to_owned(),
            destination: None,
            rate: None,
            status: Status::Running,
            moved: 0,
            to_move: 1,
            started_ms: 0,
            failure: None,
        }
    }

    #[test]
    fn a_queue_has_one_active_task_and_the_last_ten_are_kept() {
        let moves = Moves::default();
        for n in 0..15 {
            let id = n.to_string();
            moves.add(task(&id), 1).unwrap();
            assert!(moves.add(task("other"), 2).is_err());
            assert!(moves.add(task("other"), 1).is_err());
            moves
                .change("q", &id, |task| task.status = Status::Completed)
                .unwrap();
        }
        let ids: Vec<String> = moves.of("q").into_iter().map(|task| task.id).collect();
        assert_eq!(ids, ["14", "13", "12", "11", "10", "9", "8", "7", "6", "5"]);
    }

    #[test]
    fn handles_name_a_task() {
        let opened = open_handle(&handle("1", "arn:aws:sqs:r:1:q"));
        assert_eq!(
            opened,
            Some(("1".to_owned(), "arn:aws:sqs:r:1:q".to_owned()))
        );
        assert_eq!(open_handle("x"), None);
    }
}
