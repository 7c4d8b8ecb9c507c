//! The catalogue of refusals: status, code, inner code and message of every error the service
//! answers, in its own words. Where the service's text is not known the comment says so.

/// One error answer of the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) inner: Option<&'static str>,
    pub(super) message: String,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status, code, inner: None, message: message.into() }
    }

    fn with_inner(self, inner: &'static str) -> Self {
        Refusal { inner: Some(inner), ..self }
    }

    fn unauthorized(message: impl Into<String>) -> Self {
        Refusal::new(401, "Unauthorized", message)
    }

    fn conflict(inner: &'static str, message: String) -> Self {
        Refusal::new(409, "Conflict", message).with_inner(inner)
    }

    fn forbidden(inner: &'static str, message: impl Into<String>) -> Self {
        Refusal::new(403, "Forbidden", message).with_inner(inner)
    }

    pub(super) fn missing_token() -> Self {
        Refusal::unauthorized("AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token.")
    }

    /// A token that is not one of ours, or was changed on the way.
    pub(super) fn unresolved_key() -> Self {
        Refusal::unauthorized("AKV10046: Unable to resolve the key used for signature validation.")
    }

    pub(super) fn expired_token() -> Self {
        Refusal::unauthorized("[TokenExpired] Error validating token: 'S2S12086'.")
    }

    pub(super) fn wrong_audience(found: &str) -> Self {
        Refusal::unauthorized(format!("AKV10022: Invalid audience. Expected https://vault.azure.net, found: {found}."))
    }

    pub(super) fn wrong_issuer(expected: &str, found: &str) -> Self {
        Refusal::unauthorized(format!("AKV10032: Invalid issuer. Expected one of {expected}, found {found}."))
    }

    pub(super) fn forbidden_by_policy(caller: &str, permission: &str, vault: &str) -> Self {
        Refusal::forbidden(
            "ForbiddenByPolicy",
            format!(
                "The user, group or application '{caller}' does not have secrets {permission} permission on key \
                 vault '{vault};location=local'. For help resolving this issue, please see \
                 https://go.microsoft.com/fwlink/?linkid=2125287"
            ),
        )
    }

    pub(super) fn forbidden_by_rbac(caller: &str, action: &str, resource: &str, vault: &str) -> Self {
        Refusal::forbidden(
            "ForbiddenByRbac",
            format!(
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments \
                 or role definitions were changed recently, please observe propagation time.\r\nCaller: \
                 {caller}\r\nAction: 'Microsoft.KeyVault/vaults/secrets/{action}'\r\nResource: \
                 '{resource}'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: \
                 'DeniedWithNoValidRBAC' \r\nVault: {vault};location=local\r\n"
            ),
        )
    }

    /// The inner code is documented; the text is abridged from an issue report.
    pub(super) fn forbidden_by_firewall(vault: &str) -> Self {
        Refusal::forbidden(
            "ForbiddenByFirewall",
            format!(
                "Client address is not authorized and caller is not a trusted service.\r\nClient address: \
                 127.0.0.1\r\nVault: {vault};location=local"
            ),
        )
    }

    /// The inner code and the text are from issue reports.
    pub(super) fn forbidden_by_connection(vault: &str) -> Self {
        Refusal::forbidden(
            "ForbiddenByConnection",
            format!(
                "Public network access is disabled and request is not from a trusted service nor via an approved \
                 private link.\r\nVault: {vault};location=local"
            ),
        )
    }

    /// After a claims challenge; the text is not known, clients go by the header.
    pub(super) fn insufficient_claims() -> Self {
        Refusal::unauthorized("Continuous access evaluation resulted in claims challenge.")
    }

    pub(super) fn not_found(name: &str) -> Self {
        Refusal::new(
            404,
            "SecretNotFound",
            format!(
                "A secret with (name/id) {name} was not found in this key vault. If you recently \
                 deleted this secret you may be able to recover it using the correct recovery \
                 command. For help resolving this issue, please see \
                 https://go.microsoft.com/fwlink/?linkid=2125182"
            ),
        )
    }

    pub(super) fn deleted_not_found(name: &str) -> Self {
        Refusal::new(404, "SecretNotFound", format!("Deleted Secret not found: {name}"))
    }

    pub(super) fn disabled() -> Self {
        Refusal::forbidden("SecretDisabled", "Operation get is not allowed on a disabled secret.")
    }

    pub(super) fn managed(operation: &str) -> Self {
        Refusal::forbidden(
            "SecretManagedByKeyVault",
            format!(
                "Operation \"{operation}\" is not allowed on this secret, since it is associated \
                 with a certificate. Perform the operation on the corresponding certificate. For \
                 more information refer to https://docs.microsoft.com/en-us/azure/key-vault/\
                 certificates/about-certificates#composition-of-a-certificate"
            ),
        )
    }

    pub(super) fn purge_protected() -> Self {
        Refusal::new(
            403,
            "Forbidden",
            "Operation \"purge\" is not allowed because purge protection is enabled for this \
             vault. Key Vault service will automatically purge it after the retention period has \
             passed.",
        )
    }

    pub(super) fn deleted_but_recoverable(name: &str) -> Self {
        Refusal::conflict(
            "ObjectIsDeletedButRecoverable",
            format!(
                "Secret {name} is currently in a deleted but recoverable state, and its name \
                 cannot be reused; in this state, the secret can only be recovered or purged."
            ),
        )
    }

    pub(super) fn being_deleted(name: &str) -> Self {
        Refusal::conflict(
            "ObjectIsBeingDeleted",
            format!("Secret {name} is currently being deleted and cannot be re-created; retry later."),
        )
    }

    pub(super) fn still_being_deleted() -> Self {
        Refusal::conflict("ObjectIsBeingDeleted", "Secret is currently being deleted.".to_owned())
    }

    /// The inner code is documented in the SDKs' changelogs; the text is not known.
    pub(super) fn being_recovered(name: &str) -> Self {
        Refusal::conflict("ObjectIsBeingRecovered", format!("Secret {name} is currently being recovered; retry later."))
    }

    pub(super) fn restore_conflict(url: &str) -> Self {
        Refusal::new(
            409,
            "Conflict",
            format!(
                "There was a conflict restoring the secret '{url}'. This can happen if either: a \
                 second secret with the same name was created after the first secret was deleted; \
                 thus trying to restore a secret whose name is already in use. To fix this, rename \
                 the second secret to something else so that the restore works. The second \
                 probable cause of this exception is when multiple operations are performed in \
                 parallel against the secret. To avoid this error, perform operations against a \
                 secret in a sequential manner."
            ),
        )
    }

    /// Recover of a secret that was never deleted: a 400 that calls itself MethodNotAllowed.
    pub(super) fn exists_already(name: &str) -> Self {
        Refusal::new(400, "MethodNotAllowed", format!("Secret exists already: {name}"))
            .with_inner("RequestNotAllowedOnNonDeletedObject")
    }

    pub(super) fn method_not_allowed(method: &str) -> Self {
        Refusal::new(405, "MethodNotAllowed", format!("HTTP {method} not allowed"))
    }

    /// A path outside the secrets API; the service's text is not known.
    pub(super) fn no_such_resource() -> Self {
        Refusal::new(404, "NotFound", "The requested resource does not exist.")
    }

    pub(super) fn bad_parameter(message: impl Into<String>) -> Self {
        Refusal::new(400, "BadParameter", message)
    }

    /// The service's one text for most values it does not accept, line break included.
    pub(super) fn invalid_value(property: &str) -> Self {
        Refusal::bad_parameter(format!("Property {property} has invalid value\r\n"))
    }

    pub(super) fn invalid_name(name: &str) -> Self {
        Refusal::bad_parameter(format!("The request URI contains an invalid name: {name}"))
    }

    pub(super) fn no_transformation(from: &str, to: &str) -> Self {
        Refusal::bad_parameter(format!(
            "The '{from}' to '{to}' transformation is not supported. Only PFX to PEM transformation is supported."
        ))
    }

    /// A certificate whose PFX is none, or none that this vault can read.
    #[cfg(feature = "pfx")]
    pub(super) fn unreadable_pfx() -> Self {
        Refusal::bad_parameter("The certificate cannot be converted to PEM.")
    }

    /// The one refusal that is this program's and not the service's.
    #[cfg(not(feature = "pfx"))]
    pub(super) fn built_without_pfx() -> Self {
        Refusal::bad_parameter("This vault was built without the conversion of PFX to PEM: it takes the feature `pfx`.")
    }

    pub(super) fn missing_api_version() -> Self {
        Refusal::bad_parameter("api-version must be specified")
    }

    pub(super) fn unknown_api_version(asked: &str, latest: &str) -> Self {
        Refusal::bad_parameter(format!(
            "The specified version ({asked}) is not recognized. Consider using the latest \
             supported version ({latest})."
        ))
    }

    /// The text of the one 429 anybody has published.
    pub(super) fn throttled() -> Self {
        Refusal::new(
            429,
            "Throttled",
            "Request was not processed because too many requests were received. Reason: \
             VaultRequestTypeLimitReached",
        )
    }

    /// A status a test asked for, in the service's shape.
    pub(super) fn injected(status: u16) -> Self {
        Refusal::new(status, "Injected", "The vault was told to fail this request.")
    }

    pub(super) fn malformed_backup() -> Self {
        Refusal::new(400, "Malformed backup blob", "Backup blob contains invalid or corrupt version.")
    }

    /// The limit is documented; the service's answer is not known.
    pub(super) fn too_many_versions(most: usize) -> Self {
        Refusal::bad_parameter(format!("A secret with more than {most} versions cannot be backed up."))
    }

    /// The store has failed, so that nobody can tell any more what lasts.
    pub(super) fn not_kept() -> Self {
        Refusal::new(
            500,
            "InternalServerError",
            "The vault's store cannot be written. See the vault's log for the reason, mend it, and restart the vault.",
        )
    }

    /// Only where the machine fails: no randomness.
    pub(super) fn internal() -> Self {
        Refusal::new(500, "InternalServerError", "The vault could not complete the request.")
    }
}
