//! Tasks and threads: each has a name, each is counted, each is waited for at shutdown.

use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, error};

/// A signal that the process is going down; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Waits for the signal.
    pub async fn requested(&mut self) {
        // An error means that `Tasks` is gone, which is a shutdown too.
        let _ = self.0.wait_for(|down| *down).await;
    }

    /// Waits for the signal, at most for `pause`: whether it was given.
    pub async fn requested_within(&mut self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.requested() => true,
            () = tokio::time::sleep(pause) => false,
        }
    }

    /// Whether the signal was given.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

/// The process's tasks and threads; cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Handle,
    down: watch::Sender<bool>,
    live: watch::Sender<usize>,
    threads: Mutex<Vec<(&'static str, thread::JoinHandle<()>)>>,
}

/// Counts a task out when it ends, also by a panic.
struct Live(Tasks, &'static str);

impl Drop for Live {
    fn drop(&mut self) {
        if thread::panicking() {
            error!(task = self.1, "a task panicked: this is a bug");
        }
        self.0.0.live.send_modify(|n| *n -= 1);
    }
}

impl Tasks {
    /// Tasks on `runtime`.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self(Arc::new(Inner {
            runtime,
            down: watch::Sender::new(false),
            live: watch::Sender::new(0),
            threads: Mutex::new(Vec::new()),
        }))
    }

    /// Tasks on the runtime this is called on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self::new(Handle::current())
    }

    /// The signal that [`Tasks::shut_down`] gives.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        Shutdown(self.0.down.subscribe())
    }

    /// Runs `future` as a task called `name`.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let live = self.enter(name);
        self.0.runtime.spawn(async move {
            let _live = live;
            future.await
        })
    }

    /// Runs `work` on the pool for work that blocks or computes for long.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let live = self.enter(name);
        self.0.runtime.spawn_blocking(move || {
            let _live = live;
            work()
        })
    }

    /// Runs `work` on a thread of its own, for as long as the process lives. It must end by itself
    /// when what it serves is closed; [`Tasks::join_threads`] waits for it.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn thread(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        let handle = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        self.0.threads.lock().push((name, handle));
        Ok(())
    }

    fn enter(&self, name: &'static str) -> Live {
        self.0.live.send_modify(|n| *n += 1);
        debug!(task = name, "started");
        Live(self.clone(), name)
    }

    /// How many tasks live now.
    #[must_use]
    pub fn live(&self) -> usize {
        *self.0.live.borrow()
    }

    /// Gives the shutdown signal without waiting.
    pub fn signal(&self) {
        self.0.down.send_replace(true);
    }

    /// Gives the shutdown signal and waits until every task has ended or `deadline` has passed;
    /// returns how many were still alive.
    pub async fn shut_down(&self, deadline: Duration) -> usize {
        self.signal();
        let mut live = self.0.live.subscribe();
        let all_ended = live.wait_for(|n| *n == 0);
        let _ = tokio::time::timeout(deadline, all_ended).await;
        self.live()
    }

    /// Waits for the threads. To be called after what they serve was closed.
    pub fn join_threads(&self) {
        let threads = std::mem::take(&mut *self.0.threads.lock());
        for (name, handle) in threads {
            if handle.join().is_err() {
                error!(thread = name, "a thread panicked: this is a bug");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shut_down_waits_for_what_listens_to_the_signal() {
        let tasks = Tasks::current();
        let mut shutdown = tasks.shutdown();
        tasks.spawn("test.waits", async move { shutdown.requested().await });
        assert_eq!(tasks.live(), 1);
        assert_eq!(tasks.shut_down(Duration::from_secs(5)).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn shut_down_gives_up_at_the_deadline() {
        let tasks = Tasks::current();
        tasks.spawn("test.stuck", std::future::pending::<()>());
        assert_eq!(tasks.shut_down(Duration::from_secs(5)).await, 1);
    }
}
