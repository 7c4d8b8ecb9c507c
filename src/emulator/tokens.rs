//! Bearer tokens: signed by the vault's own key, checked before anything else of a request is.
//! A token is a JWT (HS256) with the claims Entra ID writes, and `permissions` beside them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::access::Permission;
use super::errors::Refusal;
use super::model::UnixTime;
use super::origin::PUBLIC_RESOURCE;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// The client and object id of every caller: the vault knows permissions, not people.
const CALLER: &str = "00000000-0000-4000-8000-00000000a11c";

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    aud: String,
    pub(super) iss: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    pub(super) appid: String,
    pub(super) oid: String,
    pub(super) tid: String,
    pub(super) permissions: Vec<Permission>,
    /// The claims that the sign-in asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<Value>,
}

impl Claims {
    /// Whether the sign-in asked for all claims of a challenge, which are JSON.
    pub(super) fn answer(&self, challenge: &str) -> bool {
        let challenge = serde_json::from_str(challenge).ok();
        self.asked.as_ref().zip(challenge.as_ref()).is_some_and(|(asked, challenge)| includes(asked, challenge))
    }
}

/// Whether all of a part is in the whole.
fn includes(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| includes(whole, part)))
        }
        (whole, part) => whole == part,
    }
}

/// What a token is to say. The default: every permission, for the public vault resource, from the
/// vault's own tenant, for an hour.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    /// Until when it is good, from now.
    pub lifetime: Duration,
    /// The resource it is for; vaults refuse tokens for anything but theirs (AKV10022).
    pub audience: String,
    /// The tenant that issued it, `None` for the vault's; others are refused (AKV10032).
    pub tenant: Option<String>,
    /// The client it was issued to; shows in refusals.
    pub client_id: String,
    /// What it allows.
    pub permissions: Vec<Permission>,
    /// The claims that the client asked for, as JSON; what answers a claims challenge.
    pub claims: Option<String>,
}

impl Default for TokenSpec {
    fn default() -> Self {
        TokenSpec {
            lifetime: Duration::from_secs(3600),
            audience: PUBLIC_RESOURCE.to_owned(),
            tenant: None,
            client_id: CALLER.to_owned(),
            permissions: Permission::ALL.to_vec(),
            claims: None,
        }
    }
}

/// Signs and checks tokens of one tenant at a time.
pub(super) struct TokenSigner {
    key: hmac::Key,
    tenant: RwLock<Arc<str>>,
    verified: Mutex<Verified>,
}

/// The last tokens whose signature was found good: clients send the same one for an hour, and every request would
/// check it anew.
type Verified = VecDeque<(Zeroizing<String>, Arc<Claims>)>;
const MOST_VERIFIED: usize = 8;

impl TokenSigner {
    pub(super) fn new(key: &[u8; 32], tenant: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        TokenSigner { key, tenant: RwLock::new(tenant.into()), verified: Mutex::default() }
    }

    pub(super) fn tenant(&self) -> Arc<str> {
        Arc::clone(&self.tenant.read())
    }

    /// From now on tokens of this tenant alone are good.
    pub(super) fn move_to(&self, tenant: &str) {
        *self.tenant.write() = tenant.into();
    }

    /// A token that says what `spec` says, from `now` on.
    pub(super) fn issue(&self, spec: &TokenSpec, now: UnixTime) -> String {
        let own = self.tenant();
        let tenant = spec.tenant.as_deref().unwrap_or(&own);
        let claims = Claims {
            aud: spec.audience.clone(),
            iss: issuer(tenant),
            iat: now.seconds(),
            nbf: now.seconds(),
            exp: now.plus(spec.lifetime).seconds(),
            appid: spec.client_id.clone(),
            oid: spec.client_id.clone(),
            tid: tenant.to_owned(),
            permissions: spec.permissions.clone(),
            asked: spec.claims.as_deref().and_then(|claims| serde_json::from_str(claims).ok()),
        };
        // A struct of strings and numbers always has a JSON form.
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let signature = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims of a token that is ours, unexpired and meant for us: for the public resource or
    /// the one this request would be challenged with.
    pub(super) fn check(&self, token: &str, resource: &str, now: UnixTime) -> Result<Arc<Claims>, Refusal> {
        let claims = self.verified(token).ok_or_else(Refusal::unresolved_key)?;
        let audience = claims.aud.trim_end_matches('/');
        if audience != PUBLIC_RESOURCE && audience != resource {
            return Err(Refusal::wrong_audience(&claims.aud));
        }
        let expected = issuer(&self.tenant());
        if claims.iss != expected {
            return Err(Refusal::wrong_issuer(&expected, &claims.iss));
        }
        if now.seconds() >= claims.exp || now.seconds() < claims.nbf {
            return Err(Refusal::expired_token());
        }
        Ok(claims)
    }

    /// What a token says whose signature is good, by memory or anew.
    fn verified(&self, token: &str) -> Option<Arc<Claims>> {
        let is_same = |known: &str| verify_slices_are_equal(known.as_bytes(), token.as_bytes()).is_ok();
        let known = self.verified.lock().iter().find(|(known, _)| is_same(known)).map(|(_, claims)| claims.clone());
        known.or_else(|| {
            let claims = Arc::new(self.read(token)?);
            let mut verified = self.verified.lock();
            verified.truncate(MOST_VERIFIED - 1);
            verified.push_front((token.to_owned().into(), claims.clone()));
            Some(claims)
        })
    }

    fn read(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.key, signed.as_bytes(), &signature).ok()?;
        let (_, claims) = signed.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

fn issuer(tenant: &str) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_seen_before_is_checked_all_the_same() {
        let signer = TokenSigner::new(&[1; 32], "tenant");
        let now = UnixTime::new(Duration::from_secs(1_700_000_000));
        let good = signer.issue(&TokenSpec::default(), now);
        let check = |token: &str, now| signer.check(token, PUBLIC_RESOURCE, now).map(|_| ()).map_err(|r| r.message);
        for n in 0..2 * MOST_VERIFIED {
            let other = signer.issue(&TokenSpec { client_id: n.to_string(), ..TokenSpec::default() }, now);
            assert_eq!((check(&other, now), check(&good, now)), (Ok(()), Ok(())));
        }
        assert_eq!(signer.verified.lock().len(), MOST_VERIFIED);
        assert!(check(&format!("{}x", &good[..good.len() - 1]), now).is_err());
        assert!(check(&good, now.plus(TokenSpec::default().lifetime)).unwrap_err().starts_with("[TokenExpired]"));
    }
}
