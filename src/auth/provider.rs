//! One token, kept fresh.
//!
//! A token is renewed in the background long before it expires; until it really does, the old one is
//! served, whatever becomes of the renewal. There is one fetch at a time, however many wait for it. A
//! failure is remembered for as long as it takes until the next try, and no longer: 1, 2, 4, … 60 s
//! where time may mend it, 5 s where a person has to. Whoever finds no token waits for the first three
//! tries, and is then told why there is none.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use super::token::{Fetched, Scope, Token};
use super::{AuthError, Backoff};

/// No source takes longer; `az` takes some seconds on a busy machine.
const FETCH_LIMIT: Duration = Duration::from_secs(30);
const BETWEEN_TRIES: Backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(60) };
/// Between tries that only a person can help.
const FOR_A_PERSON: Duration = Duration::from_secs(5);
/// So many tries are waited for.
const PATIENCE: u32 = 3;
/// A token that the vault has refused is not sent again for so long.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// What a token is to be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) scope: Scope,
    /// Claims that a vault has asked for, in JSON.
    pub(super) claims: Option<String>,
}

/// Where tokens come from.
pub(super) trait Source: Send + Sync + 'static {
    /// What it is called in an error.
    fn name(&self) -> &'static str;

    /// A new token, if there is one.
    fn fetch<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<Fetched, AuthError>>;
}

/// Keeps a token fresh. Cheap to clone: the clones share it.
#[derive(Clone)]
pub struct TokenProvider(Arc<Inner>);

struct Inner {
    source: Box<dyn Source>,
    state: watch::Sender<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failure: Option<Failure>,
    fetching: bool,
    /// Fetches that have come to an end.
    fetches: u64,
}

struct Held {
    scope: Scope,
    token: Arc<Token>,
    expires: Option<Instant>,
    refresh: Instant,
    /// Which fetch has brought it.
    fetch: u64,
    refused_until: Option<Instant>,
}

struct Failure {
    scope: Scope,
    error: AuthError,
    /// Which fetch has failed.
    fetch: u64,
    next_try: Instant,
    in_a_row: u32,
}

/// What somebody who wants a token has to do.
enum Step {
    Take(Arc<Token>),
    Fail(AuthError),
    Fetch,
    /// For a fetch under way.
    Wait,
    WaitUntil(Instant),
}

impl TokenProvider {
    pub(super) fn new(source: Box<dyn Source>) -> TokenProvider {
        TokenProvider(Arc::new(Inner { source, state: watch::Sender::new(State::default()) }))
    }

    /// A token for the scope. Waits as long as there is hope: the caller has the deadline.
    ///
    /// # Errors
    /// Where the source has none to give.
    pub async fn token(&self, scope: &Scope) -> Result<Arc<Token>, AuthError> {
        let arrived = self.0.state.borrow().fetches;
        self.steps(scope, None, |state| state.step(scope, arrived)).await
    }

    /// A token in place of one that the vault has refused, with the claims that it has asked for.
    ///
    /// # Errors
    /// Where the source has none to give, or only the same one.
    pub async fn replacement(
        &self,
        scope: &Scope,
        refused: &Token,
        claims: Option<String>,
    ) -> Result<Arc<Token>, AuthError> {
        let arrived = self.0.state.borrow().fetches;
        let with_claims = claims.is_some();
        self.0.state.send_modify(|state| state.refuse(refused));
        self.steps(scope, claims, |state| state.replacing(scope, refused, with_claims, arrived)).await
    }

    async fn steps(
        &self,
        scope: &Scope,
        claims: Option<String>,
        step: impl Fn(&State) -> Step,
    ) -> Result<Arc<Token>, AuthError> {
        let mut changes = self.0.state.subscribe();
        loop {
            let next = step(&changes.borrow_and_update());
            match next {
                Step::Take(token) => {
                    self.renew_if_due(scope);
                    return Ok(token);
                }
                Step::Fail(error) => return Err(error),
                Step::Fetch => self.start(Wanted { scope: scope.clone(), claims: claims.clone() }),
                Step::WaitUntil(time) => {
                    sleep_until(time).await;
                    continue;
                }
                Step::Wait => {}
            }
            let _ = changes.changed().await; // fails only without a sender, which `self` holds
        }
    }

    fn renew_if_due(&self, scope: &Scope) {
        if self.0.state.borrow().is_due() {
            self.start(Wanted { scope: scope.clone(), claims: None });
        }
    }

    /// Fetches in a task of its own, so that a caller who gives up spoils nothing.
    fn start(&self, wanted: Wanted) {
        let started = self.0.state.send_if_modified(|state| !std::mem::replace(&mut state.fetching, true));
        if started {
            tokio::spawn(keep(Arc::downgrade(&self.0), wanted));
        }
    }
}

/// Fetches, and goes on renewing for as long as the token is the one that is held.
async fn keep(inner: Weak<Inner>, mut wanted: Wanted) {
    loop {
        let Some(held) = inner.upgrade() else { return };
        held.fetch(&wanted).await;
        wanted.claims = None;
        let Some((next, fetch)) = held.next_renewal() else { return };
        drop(held);
        sleep_until(next).await;
        let Some(held) = inner.upgrade() else { return };
        // Another token may have come in between, with a renewal of its own.
        let is_held = |state: &State| state.held.as_ref().is_some_and(|held| held.fetch == fetch);
        let is_on = |state: &mut State| is_held(state) && !std::mem::replace(&mut state.fetching, true);
        if !held.state.send_if_modified(is_on) {
            return;
        }
    }
}

impl Inner {
    async fn fetch(&self, wanted: &Wanted) {
        let fetched = timeout(FETCH_LIMIT, self.source.fetch(wanted)).await.unwrap_or_else(|_| {
            Err(AuthError::Unreachable(format!("{} gave no token in {} s", self.source.name(), FETCH_LIMIT.as_secs())))
        });
        let fetched = fetched.and_then(|fetched| {
            let is_refused = self.state.borrow().is_refused(&fetched.token);
            if is_refused { Err(AuthError::SameAgain(self.source.name())) } else { Ok(fetched) }
        });
        match &fetched {
            Ok(_) => debug!(source = self.source.name(), "got a token"),
            Err(error) => warn!(source = self.source.name(), %error, "no token"),
        }
        self.state.send_modify(|state| state.settle(&wanted.scope, fetched));
    }

    /// When to renew the token that is held, if that is to happen without anybody asking: a token of
    /// unknown life is looked after by those who use it.
    fn next_renewal(&self) -> Option<(Instant, u64)> {
        let state = self.state.borrow();
        let held = state.held.as_ref()?;
        let expires = held.expires?;
        let next = state.failure.as_ref().map_or(held.refresh, |failure| failure.next_try);
        (next < expires).then_some((next, held.fetch))
    }
}

impl State {
    fn usable(&self, scope: &Scope) -> Option<&Held> {
        let now = Instant::now();
        let is_alive = |held: &&Held| held.expires.is_none_or(|expires| now < expires);
        let is_trusted = |held: &&Held| held.refused_until.is_none_or(|until| until <= now);
        self.held.as_ref().filter(|held| held.scope == *scope).filter(is_alive).filter(is_trusted)
    }

    fn is_due(&self) -> bool {
        let now = Instant::now();
        let is_waiting = self.failure.as_ref().is_some_and(|failure| now < failure.next_try);
        !self.fetching && !is_waiting && self.held.as_ref().is_some_and(|held| held.refresh <= now)
    }

    fn step(&self, scope: &Scope, arrived: u64) -> Step {
        match self.usable(scope) {
            Some(held) => Step::Take(Arc::clone(&held.token)),
            None => self.missing(scope, arrived),
        }
    }

    fn missing(&self, scope: &Scope, arrived: u64) -> Step {
        if self.fetching {
            return Step::Wait;
        }
        let Some(failure) = self.failure.as_ref().filter(|failure| failure.scope == *scope) else {
            return Step::Fetch;
        };
        let is_hopeless = !failure.error.is_passing() || failure.in_a_row >= PATIENCE;
        if is_hopeless && (failure.fetch > arrived || Instant::now() < failure.next_try) {
            return Step::Fail(failure.error.clone());
        }
        if Instant::now() < failure.next_try { Step::WaitUntil(failure.next_try) } else { Step::Fetch }
    }

    fn replacing(&self, scope: &Scope, refused: &Token, claims: bool, arrived: u64) -> Step {
        match self.held.as_ref().filter(|held| held.scope == *scope) {
            Some(held) if !held.token.is(refused) && (!claims || held.fetch > arrived) => {
                Step::Take(Arc::clone(&held.token))
            }
            _ => self.missing(scope, arrived),
        }
    }

    /// The vault has refused a token: it is not for anybody, for a while.
    fn refuse(&mut self, refused: &Token) {
        if let Some(held) = self.held.as_mut().filter(|held| held.token.is(refused)) {
            held.refused_until = Some(Instant::now() + REFUSED_FOR);
        }
    }

    fn is_refused(&self, token: &Token) -> bool {
        let held = self.held.as_ref().filter(|held| held.token.is(token));
        held.and_then(|held| held.refused_until).is_some_and(|until| Instant::now() < until)
    }

    fn settle(&mut self, scope: &Scope, fetched: Result<Fetched, AuthError>) {
        self.fetching = false;
        self.fetches += 1;
        match fetched {
            Ok(fetched) => self.hold(scope, fetched),
            Err(error) => {
                let before = self.failure.as_ref().filter(|failure| failure.scope == *scope);
                let in_a_row = before.map_or(0, |failure| failure.in_a_row).saturating_add(1);
                let wait = if error.is_passing() { BETWEEN_TRIES.after(in_a_row) } else { FOR_A_PERSON };
                let next_try = Instant::now() + wait;
                self.failure = Some(Failure { scope: scope.clone(), error, fetch: self.fetches, next_try, in_a_row });
            }
        }
    }

    fn hold(&mut self, scope: &Scope, fetched: Fetched) {
        self.failure = None;
        let Fetched { token, expires, refresh } = fetched;
        let token = Arc::new(token);
        self.held =
            Some(Held { scope: scope.clone(), token, expires, refresh, fetch: self.fetches, refused_until: None });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use parking_lot::Mutex;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Answers in turn, then with the last one again.
    struct Script {
        answers: Mutex<VecDeque<Result<&'static str, AuthError>>>,
        fetches: AtomicUsize,
        claims: Mutex<Vec<Option<String>>>,
        life: Duration,
    }

    #[derive(Clone)]
    struct Scripted(Arc<Script>);

    impl Source for Scripted {
        fn name(&self) -> &'static str {
            "the script"
        }

        fn fetch<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<Fetched, AuthError>> {
            self.0.fetches.fetch_add(1, Ordering::SeqCst);
            self.0.claims.lock().push(wanted.claims.clone());
            let mut answers = self.0.answers.lock();
            let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
            let life = self.0.life;
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                answer.unwrap().map(|text| Fetched::living(Token::parse(text.as_bytes()).unwrap(), life, None))
            })
        }
    }

    fn scripted(answers: &[Result<&'static str, AuthError>]) -> (TokenProvider, Arc<Script>) {
        let script = Arc::new(Script {
            answers: Mutex::new(answers.to_vec().into()),
            fetches: AtomicUsize::new(0),
            claims: Mutex::default(),
            life: 60 * MINUTE,
        });
        (TokenProvider::new(Box::new(Scripted(Arc::clone(&script)))), script)
    }

    impl Script {
        fn fetches(&self) -> usize {
            self.fetches.load(Ordering::SeqCst)
        }
    }

    fn scope(tenant: &str) -> Scope {
        Scope { authority: format!("https://login.example/{tenant}"), resource: "https://vault.example".to_owned() }
    }

    fn away() -> Result<&'static str, AuthError> {
        Err(AuthError::Unreachable("away".to_owned()))
    }

    fn wrong() -> Result<&'static str, AuthError> {
        Err(AuthError::Refused("wrong".to_owned()))
    }

    async fn header(provider: &TokenProvider) -> String {
        String::from_utf8(provider.token(&scope("a")).await.unwrap().header().to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_share_one_fetch() {
        let (provider, script) = scripted(&[Ok("one")]);
        let callers = (0..100).map(|_| header(&provider));
        assert!(futures_util::future::join_all(callers).await.iter().all(|header| header == "Bearer one"));
        assert_eq!(script.fetches(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_it_expires_though_nobody_asks() {
        let (provider, script) = scripted(&[Ok("one"), Ok("two")]);
        assert_eq!(header(&provider).await, "Bearer one");
        tokio::time::sleep(23 * MINUTE).await;
        assert_eq!(script.fetches(), 1);
        tokio::time::sleep(26 * MINUTE).await;
        assert_eq!(script.fetches(), 2);
        assert_eq!(header(&provider).await, "Bearer two");
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_token_is_served_until_it_expires_while_renewal_fails() {
        let (provider, script) = scripted(&[Ok("one"), away()]);
        for minute in 0..60 {
            assert_eq!(header(&provider).await, "Bearer one", "minute {minute}");
            tokio::time::sleep(MINUTE - Duration::from_millis(10)).await;
        }
        let tries = script.fetches();
        assert!((12..=60).contains(&tries), "{tries} tries, no more than one in half a minute in the end");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(matches!(provider.token(&scope("a")).await, Err(AuthError::Unreachable(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_comes_up_late_is_waited_for() {
        let (provider, script) = scripted(&[away(), away(), Ok("late")]);
        let start = Instant::now();
        assert_eq!(header(&provider).await, "Bearer late");
        assert_eq!(script.fetches(), 3);
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_stays_away_is_tried_for_ever_but_not_waited_for() {
        let (provider, script) = scripted(&[away()]);
        assert!(provider.token(&scope("a")).await.is_err());
        assert_eq!(script.fetches(), 3);
        let start = Instant::now();
        assert!(provider.token(&scope("a")).await.is_err());
        assert_eq!((script.fetches(), start.elapsed()), (3, Duration::ZERO));
        script.answers.lock().push_back(Ok("back"));
        script.answers.lock().pop_front();
        tokio::time::sleep(MINUTE).await;
        assert_eq!(header(&provider).await, "Bearer back");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_person_must_mend_is_told_at_once_and_tried_again_soon() {
        let (provider, script) = scripted(&[wrong(), Ok("mended")]);
        for _ in 0..10 {
            assert!(matches!(provider.token(&scope("a")).await, Err(AuthError::Refused(_))));
        }
        assert_eq!(script.fetches(), 1);
        tokio::time::sleep(FOR_A_PERSON).await;
        assert_eq!(header(&provider).await, "Bearer mended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_replaced_and_not_handed_out_again() {
        let (provider, script) = scripted(&[Ok("one"), Ok("one"), Ok("two")]);
        let refused = provider.token(&scope("a")).await.unwrap();
        let again = provider.replacement(&scope("a"), &refused, None).await;
        assert!(matches!(again, Err(AuthError::SameAgain("the script"))));
        assert!(matches!(provider.token(&scope("a")).await, Err(AuthError::SameAgain("the script"))));
        assert_eq!(script.fetches(), 2);
        tokio::time::sleep(FOR_A_PERSON).await;
        assert_eq!(header(&provider).await, "Bearer two");
        assert_eq!(script.fetches(), 3);
        let replaced = provider.replacement(&scope("a"), &refused, None).await.unwrap();
        assert_eq!((replaced.header().as_slice(), script.fetches()), (&b"Bearer two"[..], 3));
    }

    #[tokio::test(start_paused = true)]
    async fn claims_go_to_the_source_once() {
        let (provider, script) = scripted(&[Ok("one"), Ok("two")]);
        let refused = provider.token(&scope("a")).await.unwrap();
        let claims = Some("{}".to_owned());
        let token = provider.replacement(&scope("a"), &refused, claims.clone()).await.unwrap();
        assert_eq!(*token.header(), b"Bearer two");
        assert_eq!(*script.claims.lock(), [None, claims]);
    }

    #[tokio::test(start_paused = true)]
    async fn another_tenant_gets_another_token() {
        let (provider, script) = scripted(&[Ok("one"), Ok("two")]);
        assert_eq!(header(&provider).await, "Bearer one");
        let moved = provider.token(&scope("b")).await.unwrap();
        assert_eq!((moved.header().as_slice(), script.fetches()), (&b"Bearer two"[..], 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_given_up() {
        struct Hanging;
        impl Source for Hanging {
            fn name(&self) -> &'static str {
                "the abyss"
            }
            fn fetch<'a>(&'a self, _: &'a Wanted) -> BoxFuture<'a, Result<Fetched, AuthError>> {
                Box::pin(std::future::pending())
            }
        }
        let provider = TokenProvider::new(Box::new(Hanging));
        let error = provider.token(&scope("a")).await.unwrap_err();
        assert_eq!(error.to_string(), "the abyss gave no token in 30 s");
    }
}
