//! The catalogue of refusals: each in its place, with its status, codes and text.

use std::collections::HashMap;
use std::time::Duration;

use akvfs::emulator::{Emulator, NewSecret, Options};
use serde_json::{Value, json};

use crate::client::{Served, serve};

const DELAY: Duration = Duration::from_secs(10);

const NOT_FOUND: &str = "A secret with (name/id) NAME was not found in this key vault. If you recently deleted this \
                         secret you may be able to recover it using the correct recovery command. For help resolving \
                         this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182";
const DELETED_NOT_FOUND: &str = "Deleted Secret not found: NAME";
const DISABLED: &str = "Operation get is not allowed on a disabled secret.";
const RECOVERABLE: &str = "Secret NAME is currently in a deleted but recoverable state, and its name cannot be reused; \
                           in this state, the secret can only be recovered or purged.";
const BEING_DELETED: &str = "Secret NAME is currently being deleted and cannot be re-created; retry later.";
const STILL: &str = "Secret is currently being deleted.";
const BEING_RECOVERED: &str = "Secret NAME is currently being recovered; retry later.";
const CONFLICT: &str = "There was a conflict restoring the secret 'https://";
const NAME: &str = "The request URI contains an invalid name: NAME";
const NO_VALUE: &str = "Property value has invalid value";
const BLOB: &str = "Backup blob contains invalid or corrupt version.";
const MANAGED: &str = "is not allowed on this secret, since it is associated with a certificate.";

const MISSING: &str = "404 SecretNotFound";
const UNREADABLE: &str = "403 Forbidden SecretDisabled";
const TAKEN: &str = "409 Conflict ObjectIsDeletedButRecoverable";
const DELETING: &str = "409 Conflict ObjectIsBeingDeleted";
const RECOVERING: &str = "409 Conflict ObjectIsBeingRecovered";
const CERTIFICATE: &str = "403 Forbidden SecretManagedByKeyVault";
const BAD: &str = "400 BadParameter";

/// Request, verdict and text; NAME stands for the secret's.
const CATALOGUE: &[(&str, &str, &str)] = &[
    ("GET /secrets/unknown", MISSING, NOT_FOUND),
    ("PATCH /secrets/unknown", MISSING, NOT_FOUND),
    ("DELETE /secrets/unknown", MISSING, NOT_FOUND),
    ("POST /secrets/unknown/backup", MISSING, NOT_FOUND),
    ("GET /secrets/unknown/versions", "200", ""),
    ("GET /deletedsecrets/unknown", MISSING, DELETED_NOT_FOUND),
    ("POST /deletedsecrets/unknown/recover", MISSING, NOT_FOUND),
    ("DELETE /deletedsecrets/unknown", MISSING, NOT_FOUND),
    ("GET /secrets/live/00000000000000000000000000000000", MISSING, NOT_FOUND),
    ("PATCH /secrets/live/00000000000000000000000000000000", MISSING, NOT_FOUND),
    ("GET /deletedsecrets/live", MISSING, DELETED_NOT_FOUND),
    ("DELETE /deletedsecrets/live", MISSING, NOT_FOUND),
    (
        "POST /deletedsecrets/live/recover",
        "400 MethodNotAllowed RequestNotAllowedOnNonDeletedObject",
        "Secret exists already: NAME",
    ),
    ("POST /secrets/restore live", "409 Conflict", CONFLICT),
    ("GET /secrets/disabled", UNREADABLE, DISABLED),
    ("PATCH /secrets/disabled", "200", ""),
    ("POST /secrets/disabled/backup", "200", ""),
    ("GET /secrets/expired", "200", ""),
    ("GET /secrets/future", "200", ""),
    ("GET /deletedsecrets/deleted-disabled", UNREADABLE, DISABLED),
    ("GET /secrets/certificate", "200", ""),
    ("PUT /secrets/certificate", CERTIFICATE, MANAGED),
    ("PATCH /secrets/certificate", CERTIFICATE, MANAGED),
    ("DELETE /secrets/certificate", CERTIFICATE, MANAGED),
    ("POST /secrets/certificate/backup", CERTIFICATE, MANAGED),
    ("GET /secrets/deleting", MISSING, NOT_FOUND),
    ("GET /deletedsecrets/deleting", MISSING, DELETED_NOT_FOUND),
    ("PUT /secrets/deleting", DELETING, BEING_DELETED),
    ("DELETE /deletedsecrets/deleting", DELETING, STILL),
    ("POST /deletedsecrets/deleting/recover", DELETING, STILL),
    ("POST /secrets/restore deleting", "409 Conflict", CONFLICT),
    ("GET /secrets/deleted", MISSING, NOT_FOUND),
    ("GET /deletedsecrets/deleted", "200", ""),
    ("PUT /secrets/deleted", TAKEN, RECOVERABLE),
    ("GET /secrets/deleted/versions", "200", ""),
    ("POST /secrets/restore deleted", "409 Conflict", CONFLICT),
    ("GET /secrets/recovering", MISSING, NOT_FOUND),
    ("PUT /secrets/recovering", RECOVERING, BEING_RECOVERED),
    ("PATCH /secrets/recovering", RECOVERING, BEING_RECOVERED),
    ("DELETE /secrets/recovering", RECOVERING, BEING_RECOVERED),
    ("GET /secrets/purged", MISSING, NOT_FOUND),
    ("GET /deletedsecrets/purged", MISSING, DELETED_NOT_FOUND),
    ("PUT /secrets/purged", DELETING, BEING_DELETED),
    ("POST /secrets/restore purged", "409 Conflict", CONFLICT),
    ("POST /secrets/restore", "400 Malformed backup blob", BLOB),
    ("PUT /secrets/", "405 MethodNotAllowed", "HTTP PUT not allowed"),
    ("POST /secrets/live", "405 MethodNotAllowed", "HTTP POST not allowed"),
    ("GET /secrets/not_legal", BAD, NAME),
    ("PUT /secrets/not_legal", BAD, NAME),
    ("PUT /secrets/live {}", BAD, NO_VALUE),
    ("GET /secrets?api-version=7.6&maxresults=26", BAD, "maxresults must be between 1 and 25."),
    ("GET /secrets?api-version=1", BAD, "The specified version (1) is not recognized."),
    (
        "GET /secrets/live?api-version=2025-07-01&outContentType=application/x-pem-file",
        BAD,
        "The 'Unsupported' to 'PEM' transformation is not supported. Only PFX to PEM transformation is supported.",
    ),
];

#[tokio::test]
async fn every_refusal_is_in_its_place() {
    let (served, backups) = every_state().await;
    for (asked, verdict, message) in CATALOGUE {
        let mut words = asked.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let body = match words.next() {
            Some("{}") => json!({}),
            Some(name) => backups[name].clone(),
            None => json!({"value": "garbage"}),
        };
        let reply = served.client.send(method, path, Some(body)).await;
        assert_eq!(&reply.verdict(), verdict, "{asked}");
        let error = &reply.json()["error"];
        let name = path.split('/').nth(2).unwrap_or_default();
        let told = error["message"].as_str().unwrap_or_default();
        assert!(told.contains(&message.replace("NAME", name)), "{asked}: {told}");
        assert_eq!(error.is_null(), *verdict == "200", "{asked}");
    }
}

/// A vault whose clock stands still, with a secret in each state there is and named after it, and the backups made of
/// them while they were live.
async fn every_state() -> (Served, HashMap<&'static str, Value>) {
    let delays = Options { deletion_delay: DELAY, recovery_delay: DELAY, purge_delay: DELAY, ..Options::default() };
    let vault = Emulator::with_options("states", delays);
    vault.clock().stop_at(vault.clock().now());
    let put = |name: &str, secret: NewSecret| drop(vault.put(name, secret).unwrap());
    put("disabled", NewSecret { enabled: false, .."v".into() });
    put("deleted-disabled", NewSecret { enabled: false, .."v".into() });
    put("expired", NewSecret { expires_on: Some(1), .."v".into() });
    put("future", NewSecret { not_before: Some(32_503_680_000), .."v".into() });
    put("certificate", NewSecret { managed: true, .."v".into() });
    let served = serve(vault.clone()).await;
    let send = async |method: &str, path: String| served.client.send(method, &path, None).await;
    let mut backups = HashMap::new();
    for name in ["live", "deleting", "deleted", "recovering", "purged"] {
        put(name, "v".into());
        backups.insert(name, send("POST", format!("/secrets/{name}/backup")).await.json());
    }
    for name in ["deleted", "deleted-disabled", "recovering", "purged"] {
        assert_eq!(send("DELETE", format!("/secrets/{name}")).await.status, 200);
    }
    vault.clock().advance(DELAY);
    assert_eq!(send("DELETE", "/secrets/deleting".into()).await.status, 200);
    assert_eq!(send("POST", "/deletedsecrets/recovering/recover".into()).await.status, 200);
    assert_eq!(send("DELETE", "/deletedsecrets/purged".into()).await.status, 204);
    (served, backups)
}
