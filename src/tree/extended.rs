//! The table of extended attributes: what each is called, and whether it can be set.

use crate::vault::SecretName;

/// What all names begin with. Linux lets ordinary users use names below `user.` alone (xattr(7)).
const PREFIX: &str = "user.akv.";
const TAG: &str = "tag.";
/// No attribute, but an order to whom it is asked of.
const REFRESH: &str = "refresh";
/// The longest name of an attribute (`XATTR_NAME_MAX`).
const NAME_MAX: usize = 255;

/// An extended attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Extended {
    /// The identifier as the vault gives it.
    Id,
    /// The version's identifier.
    Version,
    /// Whether the value may be read.
    Enabled,
    /// What the value is.
    ContentType,
    /// Not meant to be used before.
    NotBefore,
    /// Not meant to be used from then on.
    ExpiresOn,
    /// When the version was made.
    CreatedOn,
    /// When its properties last changed.
    UpdatedOn,
    /// What a delete would leave.
    RecoveryLevel,
    /// For how many days a deleted secret is kept.
    RecoverableDays,
    /// Whether it belongs to a certificate.
    Managed,
    /// The certificate's key.
    KeyId,
    /// The version before, of a certificate's secret.
    PreviousVersion,
    /// One tag.
    Tag(String),
    /// The URL under which a deleted secret can be recovered.
    RecoveryId,
    /// When it was deleted.
    DeletedDate,
    /// When the vault will purge it by itself.
    ScheduledPurgeDate,
    /// Where the secret stands in its life.
    State,
    /// The last refusal here, in words.
    Error,
    /// Seconds since the vault last confirmed what is shown.
    Age,
    /// What this mount has deleted and may bring back, one line each: time, space, name.
    Deletions,
    /// Read only once nothing is under way here or below: to ask for it is to wait.
    Settled,
}

/// All but the tags, in the order in which they are listed.
pub const KNOWN: [Extended; 21] = [
    Extended::Id,
    Extended::Version,
    Extended::Enabled,
    Extended::ContentType,
    Extended::NotBefore,
    Extended::ExpiresOn,
    Extended::CreatedOn,
    Extended::UpdatedOn,
    Extended::RecoveryLevel,
    Extended::RecoverableDays,
    Extended::Managed,
    Extended::KeyId,
    Extended::PreviousVersion,
    Extended::RecoveryId,
    Extended::DeletedDate,
    Extended::ScheduledPurgeDate,
    Extended::State,
    Extended::Error,
    Extended::Age,
    Extended::Deletions,
    Extended::Settled,
];

impl Extended {
    /// The attribute of this name; `None` for names that are not ours.
    pub fn parse(name: &str) -> Option<Extended> {
        let own = name.strip_prefix(PREFIX)?;
        match own.strip_prefix(TAG) {
            Some(tag) => Some(Extended::Tag(tag.to_owned())),
            None => KNOWN.into_iter().find(|known| known.word() == own),
        }
    }

    /// Whether a name lies where only akvfs has attributes, known or not.
    pub fn is_ours(name: &str) -> bool {
        name.starts_with(PREFIX)
    }

    /// The full name; `None` for a tag whose name is too long for Linux.
    pub fn name(&self) -> Option<String> {
        let name = match self {
            Extended::Tag(tag) => format!("{PREFIX}{TAG}{tag}"),
            other => format!("{PREFIX}{}", other.word()),
        };
        (name.len() <= NAME_MAX && !name.contains('\0')).then_some(name)
    }

    /// Whether the vault can change it.
    pub fn is_settable(&self) -> bool {
        match self {
            Extended::Enabled | Extended::ContentType | Extended::NotBefore | Extended::ExpiresOn => true,
            Extended::Tag(_) => true,
            Extended::Id | Extended::Version | Extended::CreatedOn | Extended::UpdatedOn => false,
            Extended::RecoveryLevel | Extended::RecoverableDays | Extended::Managed | Extended::KeyId => false,
            Extended::PreviousVersion | Extended::RecoveryId | Extended::DeletedDate => false,
            Extended::ScheduledPurgeDate | Extended::State | Extended::Error | Extended::Age => false,
            Extended::Deletions | Extended::Settled => false,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Extended::Id => "id",
            Extended::Version => "version",
            Extended::Enabled => "enabled",
            Extended::ContentType => "content_type",
            Extended::NotBefore => "not_before",
            Extended::ExpiresOn => "expires_on",
            Extended::CreatedOn => "created_on",
            Extended::UpdatedOn => "updated_on",
            Extended::RecoveryLevel => "recovery_level",
            Extended::RecoverableDays => "recoverable_days",
            Extended::Managed => "managed",
            Extended::KeyId => "key_id",
            Extended::PreviousVersion => "previous_version",
            Extended::Tag(_) => "tag",
            Extended::RecoveryId => "recovery_id",
            Extended::DeletedDate => "deleted_date",
            Extended::ScheduledPurgeDate => "scheduled_purge_date",
            Extended::State => "state",
            Extended::Error => "error",
            Extended::Age => "age",
            Extended::Deletions => "deletions",
            Extended::Settled => "settled",
        }
    }
}

/// What the name of an attribute orders, if it is no attribute but an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refresh {
    /// To ask the vault again for everything.
    All,
    /// The same for one secret.
    One(SecretName),
}

impl Refresh {
    /// The order of this name; `None` for attributes, and for names that no secret can have.
    pub fn parse(name: &str) -> Option<Refresh> {
        match name.strip_prefix(PREFIX)?.strip_prefix(REFRESH)? {
            "" => Some(Refresh::All),
            rest => rest.strip_prefix('.').and_then(SecretName::parse).map(Refresh::One),
        }
    }

    /// The full name.
    pub fn name(&self) -> String {
        match self {
            Refresh::All => format!("{PREFIX}{REFRESH}"),
            Refresh::One(name) => format!("{PREFIX}{REFRESH}.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_found_by_its_name() {
        for known in KNOWN.into_iter().chain([Extended::Tag("a.b".to_owned()), Extended::Tag(String::new())]) {
            assert_eq!(Extended::parse(&known.name().unwrap()), Some(known));
        }
    }

    #[test]
    fn every_order_is_found_by_its_name() {
        for order in [Refresh::All, Refresh::One(SecretName::parse("Db-1").unwrap())] {
            assert_eq!(Refresh::parse(&order.name()), Some(order));
        }
        for name in ["user.akv.refresh.", "user.akv.refresh.a_b", "user.akv.refreshed", "user.akv.age", "refresh"] {
            assert_eq!(Refresh::parse(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_not_ours_is_no_attribute() {
        for name in ["user.other", "security.selinux", "user.akv.tag", "user.akv.other", "akv.id"] {
            assert_eq!(Extended::parse(name), None, "{name}");
        }
        assert!(Extended::is_ours("user.akv.other"));
        assert!(!Extended::is_ours("user.xdg.tags"));
    }

    #[test]
    fn a_tag_that_linux_cannot_name_has_no_name() {
        assert_eq!(Extended::Tag("a".repeat(242)).name().map(|name| name.len()), Some(255));
        assert_eq!(Extended::Tag("a".repeat(243)).name(), None);
    }
}
