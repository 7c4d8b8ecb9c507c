//! A token, what it is for, and how long it lasts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::provider::{Source, Wanted};
use super::{AuthError, Issuer, jittered};
use crate::sys::SecretBytes;

/// What a challenge says about the token that it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The authority that issues it, with the tenant as its path.
    pub authority: String,
    /// The audience, such as `https://vault.azure.net`.
    pub resource: String,
}

impl Scope {
    /// The tenant that the vault trusts, if the challenge names one.
    pub fn tenant(&self) -> Option<String> {
        let url = Url::parse(&self.authority).ok()?;
        let tenant = url.path_segments()?.next()?;
        let names_none = ["", "adfs", "common", "organizations", "consumers"];
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        (tenant.bytes().all(legal) && tenant.len() < 128 && !names_none.contains(&tenant)).then(|| tenant.to_owned())
    }

    /// The audience, without the slash that some vaults put behind it.
    pub(super) fn audience(&self) -> &str {
        self.resource.trim_end_matches('/')
    }

    /// The audience in the words of OAuth 2.
    pub(super) fn default_scope(&self) -> String {
        format!("{}/.default", self.audience())
    }
}

/// A bearer token.
#[derive(Debug)]
pub struct Token(SecretBytes);

impl Token {
    /// The token, if the text can be one (RFC 6750 §2.1): no blank, no line break.
    pub(super) fn parse(text: &[u8]) -> Option<Token> {
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        (!text.is_empty() && text.iter().all(legal)).then(|| Token(SecretBytes::new(text.to_vec())))
    }

    /// The value of the Authorization header, wiped when dropped.
    pub fn header(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([b"Bearer ", self.0.expose()].concat())
    }

    pub(super) fn is(&self, other: &Token) -> bool {
        verify_slices_are_equal(self.0.expose(), other.0.expose()).is_ok()
    }

    /// When it expires by its own words; `None` where it is no JWT. Nobody has checked its signature:
    /// this is for planning alone.
    fn expiry(&self) -> Option<i64> {
        #[derive(Deserialize)]
        struct Claims {
            exp: i64,
        }
        let claims = self.0.expose().split(|byte| *byte == b'.').nth(1)?;
        let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims).ok()?);
        serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.exp)
    }
}

/// A token as it was got.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) token: Token,
    /// From then on it is of no use; `None` where only the vault can tell.
    pub(super) expires: Option<Instant>,
    /// From then on another one is worth getting.
    pub(super) refresh: Instant,
}

/// For tokens of unknown life.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// No authority issues longer ones; a number without sense must not overflow the clock.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 86_400);

impl Fetched {
    /// A token that lives so long. It is renewed after 40 to 80 % of that, or when its issuer says.
    pub(super) fn living(token: Token, life: Duration, refresh_in: Option<Duration>) -> Fetched {
        let (now, life) = (Instant::now(), life.min(LONGEST_LIFE));
        let refresh = refresh_in.filter(|asked| *asked < life).unwrap_or(life.mul_f64(0.8));
        Fetched { token, expires: Some(now + life), refresh: now + jittered(refresh) }
    }

    /// A token that expires at this unix time, by a clock that need not be ours: one that is long past
    /// says more about the clocks than about the token, and is left to the vault.
    pub(super) fn until(token: Token, unix: i64) -> Fetched {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let life = u64::try_from(unix).ok().map(Duration::from_secs).and_then(|expiry| expiry.checked_sub(now));
        match life {
            Some(life) => Fetched::living(token, life, None),
            None => Fetched { token, expires: None, refresh: Instant::now() + LOOK_AGAIN },
        }
    }
}

/// Tokens issued in this process.
pub(super) struct Issued(pub(super) Issuer);

impl Source for Issued {
    fn name(&self) -> &'static str {
        "the embedded vault"
    }

    fn fetch<'a>(&'a self, _: &'a Wanted) -> BoxFuture<'a, Result<Fetched, AuthError>> {
        let text = Zeroizing::new((self.0)());
        let token = Token::parse(text.as_bytes()).ok_or_else(|| AuthError::Unusable("no token was issued".to_owned()));
        let fetched = token.map(|token| match token.expiry() {
            Some(expiry) => Fetched::until(token, expiry),
            None => Fetched { token, expires: None, refresh: Instant::now() + LOOK_AGAIN },
        });
        Box::pin(std::future::ready(fetched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_the_first_segment_of_the_authority() {
        let tenant = |authority: &str| Scope { authority: authority.to_owned(), resource: String::new() }.tenant();
        assert_eq!(tenant("https://login.microsoftonline.com/a-b.c").as_deref(), Some("a-b.c"));
        assert_eq!(tenant("https://login.windows.net/a-b/oauth2/authorize").as_deref(), Some("a-b"));
        for none in ["https://host/adfs", "https://host/common", "https://host/", "https://host/a%2Fb", "host/a", ""] {
            assert_eq!(tenant(none), None, "{none}");
        }
    }

    #[test]
    fn a_jwt_tells_its_expiry_and_other_tokens_do_not() {
        let token = |text: &str| Token::parse(text.as_bytes()).unwrap();
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":1700000000,"sub":"x"}"#);
        assert_eq!(token(&format!("e30.{claims}.x")).expiry(), Some(1_700_000_000));
        for opaque in ["abc", "a.b.c", "e30.e30.x"] {
            assert_eq!(token(opaque).expiry(), None, "{opaque}");
        }
    }

    #[test]
    fn a_life_without_sense_is_cut_short() {
        let token = || Token::parse(b"abc").unwrap();
        for fetched in [
            Fetched::living(token(), Duration::MAX, None),
            Fetched::living(token(), Duration::from_secs(u64::MAX), Some(Duration::from_secs(u64::MAX - 1))),
            Fetched::until(token(), i64::MAX),
        ] {
            assert!(fetched.refresh <= fetched.expires.unwrap());
            assert!(fetched.expires.unwrap() <= Instant::now() + LONGEST_LIFE);
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_none() {
        for text in ["", "two words", "a\nb", "ä"] {
            assert!(Token::parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }
}
