//! From an HTTP answer, or the lack of one, to what the vault said.

use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use super::challenge;
use super::transport::{Answer, Loss};
use crate::auth::cause;
use crate::vault::{Denial, TokenRefusal, VaultError, VaultErrorKind};

/// Clocks that differ by less than this do no harm: token lifetimes allow for it.
const CLOCK_TOLERANCE_SECONDS: u64 = 300;
/// No code or identifier of the service's is longer.
const WORD_MAX: usize = 64;

/// `{"error":{"code":…,"message":…,"innererror":{"code":…}}}`.
#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorCode,
}

#[derive(Deserialize)]
struct ErrorCode {
    code: Option<Box<str>>,
    /// Texts are not contractual and are not shown; but the reason of a 401 is a number at its start.
    message: Option<Box<str>>,
    innererror: Option<Box<ErrorCode>>,
}

/// Whether the vault says that there is no such secret or version. A bare 404 of a web server is not
/// that.
pub(super) fn is_not_found(answer: &Answer) -> bool {
    answer.status == 404 && code(answer).as_deref() == Some("SecretNotFound")
}

/// Whether the vault could not find the key that a token was signed with, which passes.
pub(super) fn is_unresolved_key(answer: &Answer) -> bool {
    answer.status == 401 && number(answer).as_deref() == Some("AKV10046")
}

/// The answer, if it is a success.
pub(super) fn checked(answer: Answer) -> Result<Answer, VaultError> {
    if matches!(answer.status, 200 | 204) { Ok(answer) } else { Err(of(&answer)) }
}

/// What a failed answer says.
pub(super) fn of(answer: &Answer) -> VaultError {
    let code = if answer.status == 401 { number(answer).or_else(|| code(answer)) } else { code(answer) };
    let kind = match (answer.status, code.as_deref()) {
        (401, _) => VaultErrorKind::Unauthenticated(token_refusal(answer)),
        (403, Some(code)) => denied(code, answer),
        (409, Some("ObjectIsDeletedButRecoverable")) => VaultErrorKind::SoftDeleted,
        (409, Some("Conflict")) => VaultErrorKind::Taken,
        (409, Some(_)) => VaultErrorKind::Conflict,
        (429, _) => VaultErrorKind::Throttled(answer.retry_after()),
        (status @ 500..=599, _) => VaultErrorKind::Server(status),
        (status @ 400..=499, Some(_)) => VaultErrorKind::Rejected(status),
        // Key Vault's own front end refuses some URLs with a page of HTML.
        (400, None) => VaultErrorKind::Rejected(400),
        (status, _) => VaultErrorKind::NotKeyVault(format!("HTTP {status} with {}", content_type(answer)).into()),
    };
    let request_id = answer.header("x-ms-request-id").and_then(word).map(Into::into);
    VaultError { kind, code, request_id }
}

fn denied(code: &str, answer: &Answer) -> VaultErrorKind {
    let permission = answer.operation.permission();
    VaultErrorKind::Denied(match code {
        "SecretDisabled" => return VaultErrorKind::Disabled,
        "SecretManagedByKeyVault" => Denial::Managed,
        "ForbiddenByRbac" => Denial::Role(permission),
        "ForbiddenByPolicy" | "AccessDenied" => Denial::Policy(permission),
        "ForbiddenByFirewall" => Denial::Firewall,
        "ForbiddenByConnection" => Denial::PrivateLink,
        _ => Denial::Unsaid,
    })
}

fn token_refusal(answer: &Answer) -> TokenRefusal {
    match number(answer).as_deref() {
        Some("AKV10022") => return TokenRefusal::Audience,
        Some("AKV10032") => return TokenRefusal::Tenant,
        Some("AKV10046") => return TokenRefusal::Key,
        _ => {}
    }
    match answer.clock_ahead() {
        Some(ahead) if ahead.unsigned_abs() > CLOCK_TOLERANCE_SECONDS => TokenRefusal::Clock(ahead),
        _ if challenge::claims(&answer.headers).is_some() => TokenRefusal::Claims,
        _ => TokenRefusal::Unsaid,
    }
}

/// Something answered as no vault would.
pub(super) fn not_key_vault(how: String) -> VaultError {
    VaultError::of(VaultErrorKind::NotKeyVault(how.into()))
}

/// The request did not get through, or its answer did not come back whole.
pub(super) fn unsent(error: reqwest::Error) -> (Loss, VaultError) {
    let unreachable = |why: String| VaultError::of(VaultErrorKind::Unreachable(why.into()));
    let cause = cause(&error);
    if error.is_timeout() && error.is_connect() {
        return (Loss::Final, unreachable("nothing answers at its address: is a firewall in between?".to_owned()));
    }
    if error.is_timeout() {
        return (Loss::Lost, VaultError::of(VaultErrorKind::TimedOut));
    }
    let (loss, remedy) = if cause.contains("certificate") {
        (Loss::Final, "; if its authority is private, give it by --ca-bundle")
    } else if cause.contains("lookup") {
        (Loss::Final, "; is the vault's name right, and does this machine resolve names?")
    } else if cause.contains("corrupt message") {
        (Loss::Final, "; does it speak https?")
    } else if error.is_connect() && cause.contains("refused") {
        (Loss::Unsent, "; is the address right, and is the vault running?")
    } else if error.is_connect() || error.is_builder() {
        (Loss::Unsent, "")
    } else {
        (Loss::Lost, "")
    };
    (loss, unreachable(format!("{cause}{remedy}")))
}

fn code(answer: &Answer) -> Option<Box<str>> {
    let body: ErrorBody = serde_json::from_slice(&answer.body).ok()?;
    let code = body.error.innererror.and_then(|inner| inner.code).or(body.error.code)?;
    word(&code).map(Into::into)
}

/// The service's number for a refused token, such as `AKV10032`.
fn number(answer: &Answer) -> Option<Box<str>> {
    let body: ErrorBody = serde_json::from_slice(&answer.body).ok()?;
    let message = body.error.message?;
    let (number, _) = message.split_once(':')?;
    let digits = number.strip_prefix("AKV")?;
    (digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.into())
}

/// The text, if it can be a code or an identifier: what else may stand in its place is not for a log.
fn word(text: &str) -> Option<&str> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    ((1..=WORD_MAX).contains(&text.len()) && text.bytes().all(legal)).then_some(text)
}

fn content_type(answer: &Answer) -> &str {
    let given = answer.header(CONTENT_TYPE.as_str()).and_then(|text| text.split(';').next()).map(str::trim);
    let legal = |text: &&str| text.split('/').all(|part| word(part).is_some());
    given.filter(legal).unwrap_or("no content type")
}

#[cfg(test)]
mod tests {
    use reqwest::header::{DATE, HeaderMap, HeaderValue};
    use zeroize::Zeroizing;

    use super::super::operation::Operation;
    use super::*;
    use crate::vault::Permission;

    fn answer(status: u16, body: &str) -> Answer {
        let body = Zeroizing::new(body.as_bytes().to_vec());
        Answer { operation: Operation::Get, status, headers: HeaderMap::new(), body, repeated: false }
    }

    fn coded(status: u16, code: &str, inner: Option<&str>) -> Answer {
        let inner = inner.map(|code| format!(r#","innererror":{{"code":"{code}"}}"#)).unwrap_or_default();
        answer(status, &format!(r#"{{"error":{{"code":"{code}","message":"canary"{inner}}}}}"#))
    }

    fn said(message: &str) -> Answer {
        answer(401, &format!(r#"{{"error":{{"code":"Unauthorized","message":"{message}"}}}}"#))
    }

    #[test]
    fn status_and_inner_code_decide() {
        use VaultErrorKind as Kind;
        let permission = Permission::Get;
        for (answer, kind) in [
            (coded(403, "Forbidden", Some("SecretDisabled")), Kind::Disabled),
            (coded(403, "Forbidden", Some("ForbiddenByRbac")), Kind::Denied(Denial::Role(permission))),
            (coded(403, "Forbidden", Some("AccessDenied")), Kind::Denied(Denial::Policy(permission))),
            (coded(403, "Forbidden", Some("ForbiddenByPolicy")), Kind::Denied(Denial::Policy(permission))),
            (coded(403, "Forbidden", Some("ForbiddenByFirewall")), Kind::Denied(Denial::Firewall)),
            (coded(403, "Forbidden", Some("ForbiddenByConnection")), Kind::Denied(Denial::PrivateLink)),
            (coded(403, "Forbidden", Some("SecretManagedByKeyVault")), Kind::Denied(Denial::Managed)),
            (coded(403, "Forbidden", None), Kind::Denied(Denial::Unsaid)),
            (coded(409, "Conflict", Some("ObjectIsBeingDeleted")), Kind::Conflict),
            (coded(409, "Conflict", Some("ObjectIsBeingRecovered")), Kind::Conflict),
            (coded(409, "Conflict", Some("ObjectIsDeletedButRecoverable")), Kind::SoftDeleted),
            (coded(409, "Conflict", None), Kind::Taken),
            (coded(429, "Throttled", None), Kind::Throttled(None)),
            (coded(400, "BadParameter", None), Kind::Rejected(400)),
            (said("AKV10022: Invalid audience."), Kind::Unauthenticated(TokenRefusal::Audience)),
            (said("AKV10032: Invalid issuer."), Kind::Unauthenticated(TokenRefusal::Tenant)),
            (said("AKV10046: Unable to resolve."), Kind::Unauthenticated(TokenRefusal::Key)),
            (said("[TokenExpired]"), Kind::Unauthenticated(TokenRefusal::Unsaid)),
            (answer(400, "<html>Bad Request</html>"), Kind::Rejected(400)),
            (answer(503, "<html>"), Kind::Server(503)),
            (answer(404, "<html>"), Kind::NotKeyVault("HTTP 404 with no content type".into())),
            (answer(302, ""), Kind::NotKeyVault("HTTP 302 with no content type".into())),
        ] {
            let error = of(&answer);
            assert_eq!(error.kind, kind);
            assert!(!format!("{error} {error:?}").contains("canary"), "a body has leaked");
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_from_a_bad_token() {
        let mut refused = said("[TokenExpired]");
        refused.headers.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        let VaultErrorKind::Unauthenticated(TokenRefusal::Clock(ahead)) = of(&refused).kind else {
            panic!("{:?}", of(&refused));
        };
        assert!(ahead > 30 * 365 * 86_400);
        assert!(of(&refused).to_string().contains("ahead of the vault's"));
    }

    #[test]
    fn what_stands_in_a_codes_place_and_is_none_goes_nowhere() {
        let long = "x".repeat(65);
        for text in ["two words", "line\\nbreak", "ключ", "", &long] {
            assert_eq!(of(&coded(403, text, None)).code, None, "{text}");
        }
        let mut odd = answer(404, "");
        odd.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/<canary>"));
        odd.headers.insert("x-ms-request-id", HeaderValue::from_static("can ary"));
        let error = of(&odd);
        assert_eq!(
            (error.request_id, error.kind),
            (None, VaultErrorKind::NotKeyVault("HTTP 404 with no content type".into()))
        );
        assert_eq!(of(&coded(403, &long[1..], None)).code.as_deref(), Some(&long[1..]));
    }

    #[test]
    fn a_web_servers_404_is_not_an_absent_secret() {
        assert!(is_not_found(&coded(404, "SecretNotFound", None)));
        assert!(!is_not_found(&answer(404, "not found")));
    }
}
