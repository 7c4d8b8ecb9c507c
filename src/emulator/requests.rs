//! The record of what clients asked, for tests that count requests. Names, never values.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::Serialize;

use super::routes::{Operation, Target};

/// One request the vault has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestSeen {
    /// What it asked for.
    pub operation: Operation,
    /// The secret's name as the client wrote it; lists have none.
    pub name: Option<String>,
    /// The version, where the client named one.
    pub version: Option<String>,
    /// The status it was answered with; `None` while it has no answer, or never got one.
    pub status: Option<u16>,
}

/// Requests that are remembered; a vault may be up for months.
const MOST: usize = 20_000;

/// The last requests since the start or the last clearing.
#[derive(Debug, Default)]
pub(super) struct RequestLog(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    /// How many were cleared or forgotten: a place in the log outlives that.
    gone: usize,
    seen: VecDeque<RequestSeen>,
}

impl RequestLog {
    /// Records a request before it is answered; gives its place.
    pub(super) fn begin(&self, target: &Target) -> usize {
        let Target { operation, name, version } = target.clone();
        let mut log = self.0.lock();
        log.seen.push_back(RequestSeen { operation, name, version, status: None });
        if log.seen.len() > MOST {
            log.seen.pop_front();
            log.gone += 1;
        }
        log.gone + log.seen.len() - 1
    }

    pub(super) fn finish(&self, place: usize, status: u16) {
        let mut log = self.0.lock();
        let index = place.checked_sub(log.gone);
        if let Some(request) = index.and_then(|index| log.seen.get_mut(index)) {
            request.status = Some(status);
        }
    }

    pub(super) fn all(&self) -> Vec<RequestSeen> {
        self.0.lock().seen.iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        let mut log = self.0.lock();
        log.gone += log.seen.len();
        log.seen.clear();
    }
}
