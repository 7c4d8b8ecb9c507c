//! Single flight: at most one get per secret is under way, and everybody who asks shares it.

use std::collections::HashMap;
use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use super::Key;
use crate::vault::{Found, Known, VaultError, VaultErrorKind};
use std::sync::Arc;

type Flight = Shared<BoxFuture<'static, Found>>;

/// The gets under way.
#[derive(Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<Key, Flight>>>);

impl Flights {
    /// Joins the get under way, or answers from what `known` says, or starts one. The request goes on
    /// when a caller gives up, since others may wait for it and its answer is worth keeping.
    pub(super) async fn join<F>(
        &self,
        key: &Key,
        known: impl FnOnce() -> Option<Known<Found>>,
        start: impl FnOnce(Key) -> F,
    ) -> Found
    where
        F: Future<Output = Found> + Send + 'static,
    {
        let flight = {
            let mut flights = self.0.lock();
            match flights.get(key) {
                Some(flight) => flight.clone(),
                // A flight that has just landed has left its answer before it left this table.
                None => match known() {
                    Some(known) => return known.answer,
                    None => {
                        let flight = self.launch(key, start(key.clone()));
                        flights.insert(key.clone(), flight.clone());
                        flight
                    }
                },
            }
        };
        flight.await
    }

    fn launch(&self, key: &Key, request: impl Future<Output = Found> + Send + 'static) -> Flight {
        let landing = Landing { flights: Arc::clone(&self.0), key: key.clone() };
        let task = tokio::spawn(async move {
            let _landing = landing;
            request.await
        });
        async move { task.await.unwrap_or_else(|_| Err(VaultError::of(VaultErrorKind::Aborted))) }.boxed().shared()
    }
}

/// Takes a flight off the table however it ends, a panic included.
struct Landing {
    flights: Arc<Mutex<HashMap<Key, Flight>>>,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}
