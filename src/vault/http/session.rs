//! Requests that carry a token: the challenge, and what follows a 401.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::challenge::{self, Challenge};
use super::failure;
use super::transport::{Answer, Call, Loss, Sent, Transport};
use crate::auth::{AuthError, Scope, Token, TokenProvider};
use crate::vault::{VaultError, VaultErrorKind};

/// A challenge for a token, and one for claims in it.
const REPLACEMENTS: u32 = 2;

/// What a vault's challenge has taught, and the token it wants.
pub(super) struct Session {
    transport: Transport,
    tokens: TokenProvider,
    verify_resource: bool,
    scope: Mutex<Option<Scope>>,
}

impl Session {
    pub(super) fn new(transport: Transport, tokens: TokenProvider, verify_resource: bool) -> Session {
        Session { transport, tokens, verify_resource, scope: Mutex::new(None) }
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Sends a call once with a token; again with another token where the first is refused. Waits for a
    /// token until the deadline.
    pub(super) async fn send(&self, call: &Call, deadline: Instant) -> Sent {
        let known = self.scope.lock().clone();
        let mut scope = match known {
            Some(scope) => scope,
            None => match self.first_challenge(call).await? {
                Ok(scope) => scope,
                Err(answer) => return Ok(answer),
            },
        };
        let mut token = within(deadline, self.tokens.token(&scope)).await?;
        let mut answer = self.transport.send(call, Some(&token)).await?;
        for _ in 0..REPLACEMENTS {
            if answer.status != 401 || failure::is_unresolved_key(&answer) {
                break;
            }
            match self.after_refusal(&answer, &mut scope, &token, deadline).await {
                Ok(Some(another)) => token = another,
                Ok(None) => break,
                Err(error) => return Err(error),
            }
            answer = self.transport.send(call, Some(&token)).await?;
        }
        if answer.status == 401 && !failure::is_unresolved_key(&answer) {
            *self.scope.lock() = None; // who is trusted may have changed: ask anew
        }
        Ok(answer)
    }

    /// Another token than the refused one; `None` if there is none, so that the refusal stands.
    async fn after_refusal(
        &self,
        answer: &Answer,
        scope: &mut Scope,
        refused: &Token,
        deadline: Instant,
    ) -> Result<Option<Arc<Token>>, (Loss, VaultError)> {
        let claims = match challenge::read(&answer.headers) {
            Some(Challenge::Claims(claims)) => Some(claims),
            Some(Challenge::Scope(asked)) => {
                *scope = self.learn(asked).map_err(|error| (Loss::Final, error))?;
                None
            }
            None => return Ok(None),
        };
        match within(deadline, self.tokens.replacement(scope, refused, claims)).await {
            Ok(token) => Ok(Some(token)),
            Err((_, VaultError { kind: VaultErrorKind::Unauthenticated(_), .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The vault says whom it trusts only when it is asked without a token, and such a request must
    /// carry no body: who answers is not known yet. An answer that is no challenge is handed on, if it
    /// tells of trouble.
    async fn first_challenge(&self, call: &Call) -> Result<Result<Scope, Answer>, (Loss, VaultError)> {
        let bare = Call { operation: call.operation, method: call.method.clone(), url: call.url.clone(), body: None };
        // Nothing has been asked of the vault so far, whatever becomes of this.
        let unsent = |(loss, error)| (if loss == Loss::Lost { Loss::Unsent } else { loss }, error);
        let answer = self.transport.send(&bare, None).await.map_err(unsent)?;
        let refused = |how: String| Err((Loss::Final, failure::not_key_vault(how)));
        match answer.status {
            401 => match challenge::read(&answer.headers) {
                Some(Challenge::Scope(asked)) => self.learn(asked).map(Ok).map_err(|error| (Loss::Final, error)),
                Some(Challenge::Claims(_)) | None => refused("HTTP 401 without Key Vault's challenge".to_owned()),
            },
            408 | 429 | 500..=599 => Ok(Err(answer)),
            status => refused(format!("HTTP {status} where Key Vault asks for a token")),
        }
    }

    /// Takes a challenge for true, if the vault's host vouches for it.
    fn learn(&self, scope: Scope) -> Result<Scope, VaultError> {
        if self.verify_resource {
            challenge::verify(&scope, self.transport.base()).map_err(failure::not_key_vault)?;
        }
        let before = self.scope.lock().replace(scope.clone());
        if before.is_some_and(|before| before.tenant() != scope.tenant()) {
            tracing::warn!(tenant = scope.tenant(), "the vault has moved to another tenant");
        }
        Ok(scope)
    }
}

/// A token before the deadline; that there is none yet is said as that, and not as a silent vault.
async fn within(
    deadline: Instant,
    token: impl Future<Output = Result<Arc<Token>, AuthError>>,
) -> Result<Arc<Token>, (Loss, VaultError)> {
    let no_token = |why: String| VaultErrorKind::NoToken(why.into());
    let kind = match timeout_at(deadline, token).await {
        Ok(Ok(token)) => return Ok(token),
        Ok(Err(AuthError::SameAgain(_))) => VaultErrorKind::Unauthenticated(crate::vault::TokenRefusal::Unsaid),
        Ok(Err(error)) => no_token(error.to_string()),
        Err(_) => no_token("the sign-in takes longer than this call may".to_owned()),
    };
    Err((Loss::Final, VaultError::of(kind)))
}
