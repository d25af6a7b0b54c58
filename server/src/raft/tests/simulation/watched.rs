//! openraft's watched values, whose watchers are woken in the order in which they began to wait.
//!
//! Tokio's own wakes them in random order, and that randomness has no seed: two replication streams that wait for the
//! same new entry would race each other. Everything but the waking is Tokio's.

use std::sync::Arc;

use futures_util::FutureExt;
use openraft::{
    OptionalSend, OptionalSync,
    rt::watch::{RecvError, SendError, Watch, WatchReceiver, WatchSender},
};
use tokio::sync::{Notify, watch};

/// The kind of channel.
pub(crate) struct Ordered;

/// Changes the value.
pub(crate) struct Sender<T> {
    // Goes before the waking, which tells that it is gone.
    value: watch::Sender<T>,
    waking: Waking,
}

/// Sees the value and waits for changes.
pub(crate) struct Receiver<T> {
    value: watch::Receiver<T>,
    changed: Arc<Notify>,
}

#[derive(Clone)]
struct Waking(Arc<Notify>);

impl Drop for Waking {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), waking: self.waking.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), changed: self.changed.clone() }
    }
}

impl Watch for Ordered {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = watch::Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = watch::channel(init);
        let changed = Arc::new(Notify::new());
        (Sender { value: sender, waking: Waking(changed.clone()) }, Receiver { value: receiver, changed })
    }
}

impl<T: OptionalSend + OptionalSync> WatchSender<Ordered, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.value.send(value).map_err(|error| SendError(error.0))?;
        self.waking.0.notify_waiters();
        Ok(())
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        let modified = self.value.send_if_modified(modify);
        if modified {
            self.waking.0.notify_waiters();
        }
        modified
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.value.borrow()
    }

    fn subscribe(&self) -> Receiver<T> {
        Receiver { value: self.value.subscribe(), changed: self.waking.0.clone() }
    }
}

impl<T: OptionalSend + OptionalSync> WatchReceiver<Ordered, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        loop {
            let changed = self.changed.clone().notified_owned();
            if let Some(result) = self.value.changed().now_or_never() {
                return result.map_err(|_| RecvError(()));
            }
            changed.await;
        }
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.value.borrow()
    }

    fn borrow_and_update(&mut self) -> watch::Ref<'_, T> {
        self.value.borrow_and_update()
    }
}
