//! Faults on demand: what goes wrong, with which requests, how often. Tests queue them; the
//! service asks for the next one per request. Nothing here touches a connection.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Deserializer};
use tokio::sync::watch;

use super::routes::Operation;

/// One thing that goes wrong with a request that carries a valid token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No answer until [`Faults::release`], then the ordinary one.
    Hang,
    /// The ordinary answer, this much later (milliseconds in JSON).
    #[serde(deserialize_with = "milliseconds")]
    Latency(Duration),
    /// This status and body instead of an answer; nothing is carried out.
    Status {
        /// The HTTP status, 200–599.
        status: u16,
        /// Sent as `application/json`; empty sends the service's error shape.
        #[serde(default)]
        body: String,
    },
    /// 429 as the service words it. It sends no `Retry-After` where it was observed.
    Throttled(Option<RetryAfter>),
    /// The connection is closed without an answer.
    Reset,
    /// Half of the ordinary answer, then the connection is closed.
    TruncatedBody,
    /// Half of the ordinary answer, declared as if it were whole.
    BadJson,
    /// A 200 with a page of HTML, as proxies send.
    Html,
    /// The ordinary answer with this many spaces behind it.
    Oversize(usize),
    /// 401 with the ordinary challenge, as if the token had expired.
    ExpiredToken,
    /// 401 AKV10046: the service cannot find the key a token was signed with.
    UnresolvedKey,
    /// 403 ForbiddenByFirewall.
    Firewall,
    /// 403 ForbiddenByConnection: the vault takes private links alone.
    PrivateLink,
    /// 401 with a continuous-access challenge carrying these claims (plain JSON), save for a token whose
    /// sign-in asked for them.
    ClaimsChallenge(String),
    /// A list starts with this many empty pages.
    EmptyPages(u32),
    /// Pages of a list hold at most this many rows.
    ShortPages(usize),
}

/// The two forms of the `Retry-After` header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// Seconds from now.
    Seconds(u64),
    /// An HTTP date, sent as it stands.
    Date(String),
}

/// A fault and the requests it befalls.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    fault: Fault,
    operation: Option<Operation>,
    name: Option<String>,
    #[serde(default = "once")]
    times: u32,
    #[serde(default)]
    after_effect: bool,
}

fn once() -> u32 {
    1
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

impl From<Fault> for FaultRule {
    /// Befalls the next request, whatever it is.
    fn from(fault: Fault) -> Self {
        FaultRule { fault, operation: None, name: None, times: once(), after_effect: false }
    }
}

impl Fault {
    /// Befalls the next request of this operation.
    pub fn on(self, operation: Operation) -> FaultRule {
        FaultRule { operation: Some(operation), ..self.into() }
    }

    /// Befalls this many requests; `u32::MAX` is for ever.
    pub fn times(self, times: u32) -> FaultRule {
        FaultRule { times, ..self.into() }
    }
}

impl FaultRule {
    /// Befalls requests for this secret alone.
    pub fn named(self, name: &str) -> Self {
        FaultRule { name: Some(name.to_owned()), ..self }
    }

    /// Befalls this many requests; `u32::MAX` is for ever.
    pub fn times(self, times: u32) -> Self {
        FaultRule { times, ..self }
    }

    /// The request is carried out first: a write happens and its answer is lost.
    pub fn after_effect(self) -> Self {
        FaultRule { after_effect: true, ..self }
    }

    fn befalls(&self, operation: Operation, name: Option<&str>) -> bool {
        let same_name = |wanted: &String| name.is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        self.operation.is_none_or(|wanted| wanted == operation)
            && self.name.as_ref().is_none_or(same_name)
            && (operation.is_list() || !self.fault.is_for_lists())
    }
}

impl Fault {
    fn is_for_lists(&self) -> bool {
        matches!(self, Fault::EmptyPages(_) | Fault::ShortPages(_))
    }
}

/// A fault that has befallen a request.
#[derive(Clone, Debug)]
pub(super) struct Befallen {
    pub(super) fault: Fault,
    pub(super) after_effect: bool,
}

/// The queue of faults of one vault.
#[derive(Debug)]
pub struct Faults {
    rules: Mutex<VecDeque<FaultRule>>,
    /// Counts releases: a request hangs until the count differs from the one it saw.
    releases: watch::Sender<u64>,
    hanging: watch::Sender<usize>,
}

impl Faults {
    pub(super) fn new() -> Self {
        Faults { rules: Mutex::default(), releases: watch::Sender::new(0), hanging: watch::Sender::new(0) }
    }

    /// Adds a rule behind those already there; the first that fits a request befalls it.
    pub fn queue(&self, rule: impl Into<FaultRule>) {
        self.rules.lock().push_back(rule.into());
    }

    /// Drops every rule and lets go of every hanging request.
    pub fn clear(&self) {
        self.rules.lock().clear();
        self.release();
    }

    /// Lets go of every request that hangs now.
    pub fn release(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// How many requests hang now.
    pub fn hanging(&self) -> usize {
        *self.hanging.borrow()
    }

    /// Waits until at least this many requests hang.
    pub async fn until_hanging(&self, requests: usize) {
        let mut hanging = self.hanging.subscribe();
        // Fails only when the sender is gone, which `self` holds.
        let _ = hanging.wait_for(|&count| count >= requests).await;
    }

    pub(super) fn take(&self, operation: Operation, name: Option<&str>) -> Option<Befallen> {
        let mut rules = self.rules.lock();
        let at = rules.iter().position(|rule| rule.befalls(operation, name))?;
        let rule = rules.get_mut(at)?;
        let befallen = Befallen { fault: rule.fault.clone(), after_effect: rule.after_effect };
        rule.times = if rule.times == u32::MAX { rule.times } else { rule.times.saturating_sub(1) };
        if rule.times == 0 {
            rules.remove(at);
        }
        Some(befallen)
    }

    pub(super) async fn hang(&self) {
        let mut releases = self.releases.subscribe();
        let _counted = Hanging::count(&self.hanging);
        let _ = releases.changed().await;
    }
}

/// Counts a hanging request for as long as it lives, also when its connection goes away.
struct Hanging<'a>(&'a watch::Sender<usize>);

impl<'a> Hanging<'a> {
    fn count(hanging: &'a watch::Sender<usize>) -> Self {
        hanging.send_modify(|count| *count += 1);
        Hanging(hanging)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_befalls_what_it_names_as_often_as_it_says() {
        let faults = Faults::new();
        faults.queue(Fault::Reset.on(Operation::GetSecret).named("A").times(2));
        assert!(faults.take(Operation::GetSecret, Some("b")).is_none());
        assert!(faults.take(Operation::SetSecret, Some("a")).is_none());
        assert!(faults.take(Operation::GetSecret, Some("a")).is_some());
        assert!(faults.take(Operation::GetSecret, Some("a")).is_some());
        assert!(faults.take(Operation::GetSecret, Some("a")).is_none());
    }

    #[test]
    fn faults_of_lists_leave_other_requests_alone() {
        let faults = Faults::new();
        faults.queue(Fault::EmptyPages(3));
        assert!(faults.take(Operation::GetSecret, Some("a")).is_none());
        assert!(faults.take(Operation::GetSecrets, None).is_some());
    }

    #[tokio::test]
    async fn a_hanging_request_is_counted_until_released() {
        let faults = std::sync::Arc::new(Faults::new());
        let hanging = tokio::spawn({
            let faults = faults.clone();
            async move { faults.hang().await }
        });
        faults.until_hanging(1).await;
        faults.release();
        hanging.await.unwrap();
        assert_eq!(faults.hanging(), 0);
    }
}
