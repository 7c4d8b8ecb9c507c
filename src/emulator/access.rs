//! Who may do what: permissions, which operation needs which, and how a vault words its refusal.

use serde::{Deserialize, Serialize};

use super::errors::Refusal;
use super::routes::{Operation, Target};
use super::tokens::Claims;

/// A permission on secrets, by its name in access policies.
#[allow(missing_docs)] // Each is named after what it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    Get,
    List,
    /// Covers updates of attributes as well.
    Set,
    Delete,
    Recover,
    Backup,
    Restore,
    Purge,
}

impl Permission {
    /// Every permission there is.
    pub const ALL: [Permission; 8] = [
        Permission::Get,
        Permission::List,
        Permission::Set,
        Permission::Delete,
        Permission::Recover,
        Permission::Backup,
        Permission::Restore,
        Permission::Purge,
    ];

    /// The permission of this name.
    pub fn parse(name: &str) -> Option<Permission> {
        Permission::ALL.into_iter().find(|permission| permission.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Permission::Get => "get",
            Permission::List => "list",
            Permission::Set => "set",
            Permission::Delete => "delete",
            Permission::Recover => "recover",
            Permission::Backup => "backup",
            Permission::Restore => "restore",
            Permission::Purge => "purge",
        }
    }
}

/// How a vault decides who may do what. It shows in the refusals alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessModel {
    /// Access policies of the vault: `ForbiddenByPolicy`.
    Policy,
    /// Azure role-based access control: `ForbiddenByRbac`.
    Rbac,
}

/// Refuses an operation the token has no permission for.
pub(super) fn authorize(model: AccessModel, vault: &str, claims: &Claims, target: &Target) -> Result<(), Refusal> {
    let permission = permission(target.operation);
    if claims.permissions.contains(&permission) {
        return Ok(());
    }
    let caller = format!("appid={};oid={};iss={}", claims.appid, claims.oid, claims.iss);
    Err(match model {
        AccessModel::Policy => Refusal::forbidden_by_policy(&caller, permission.name(), vault),
        AccessModel::Rbac => {
            let secret = target.name.as_ref().map(|name| format!("/secrets/{name}"));
            let resource = format!(
                "/subscriptions/{}/resourcegroups/local/providers/microsoft.keyvault/vaults/{vault}{}",
                claims.tid,
                secret.unwrap_or_default(),
            );
            Refusal::forbidden_by_rbac(&caller, rbac_action(target.operation), &resource, vault)
        }
    })
}

fn permission(operation: Operation) -> Permission {
    match operation {
        Operation::SetSecret | Operation::UpdateSecret => Permission::Set,
        Operation::GetSecret | Operation::GetDeletedSecret => Permission::Get,
        Operation::DeleteSecret => Permission::Delete,
        Operation::GetSecrets | Operation::GetSecretVersions | Operation::GetDeletedSecrets => Permission::List,
        Operation::PurgeDeletedSecret => Permission::Purge,
        Operation::RecoverDeletedSecret => Permission::Recover,
        Operation::BackupSecret => Permission::Backup,
        Operation::RestoreSecret => Permission::Restore,
    }
}

/// The data action of the built-in roles.
fn rbac_action(operation: Operation) -> &'static str {
    match operation {
        Operation::SetSecret => "setSecret/action",
        Operation::UpdateSecret => "update/action",
        Operation::GetSecret => "getSecret/action",
        Operation::DeleteSecret => "delete",
        Operation::GetSecrets
        | Operation::GetSecretVersions
        | Operation::GetDeletedSecrets
        | Operation::GetDeletedSecret => "readMetadata/action",
        Operation::PurgeDeletedSecret => "purge/action",
        Operation::RecoverDeletedSecret => "recover/action",
        Operation::BackupSecret => "backup/action",
        Operation::RestoreSecret => "restore/action",
    }
}
