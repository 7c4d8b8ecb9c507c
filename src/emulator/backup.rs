//! Backup blobs: a secret with all its versions, encrypted and authenticated by the vault's key and
//! bound to its geography. Garbage, changed blobs and those of other vaults cannot be opened.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::errors::Refusal;
use super::model::Secret;
use super::record;

/// What a blob of the real service starts with; `az` keeps blobs in files by these bytes.
const MARKER: &[u8] = b")AzureKeyVaultSecretBackupV1.microsoft.com";
const NONCE: usize = 12;
const MOST_VERSIONS: usize = 500;

/// Seals and opens the blobs of one vault.
pub(super) struct BackupKey {
    key: Zeroizing<[u8; 32]>,
    /// Authenticated with each blob: format, then geography.
    context: Vec<u8>,
}

impl BackupKey {
    pub(super) fn new(key: Zeroizing<[u8; 32]>, geography: &str) -> Self {
        BackupKey { key, context: format!("akvfs backup 1 {geography}").into_bytes() }
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, Unspecified> {
        RandomizedNonceKey::new(&AES_256_GCM_SIV, &*self.key)
    }

    /// The blob of a secret, in base64url without padding.
    pub(super) fn seal(&self, secret: &Secret) -> Result<String, Refusal> {
        if secret.versions.len() > MOST_VERSIONS {
            return Err(Refusal::too_many_versions(MOST_VERSIONS));
        }
        let mut sealed = record::encode_whole(secret);
        let context = Aad::from(&self.context);
        let cipher = self.cipher();
        let nonce = cipher.and_then(|key| key.seal_in_place_append_tag(context, &mut *sealed));
        let nonce = nonce.map_err(|Unspecified| Refusal::internal())?;
        let blob = [MARKER, nonce.as_ref(), sealed.as_slice()].concat();
        Ok(URL_SAFE_NO_PAD.encode(blob))
    }

    /// The secret in a blob.
    pub(super) fn open(&self, blob: &str) -> Result<Secret, Refusal> {
        self.try_open(blob).ok_or_else(Refusal::malformed_backup)
    }

    fn try_open(&self, blob: &str) -> Option<Secret> {
        let blob = URL_SAFE_NO_PAD.decode(blob.trim_end_matches('=')).ok()?;
        let (nonce, sealed) = blob.strip_prefix(MARKER)?.split_first_chunk::<NONCE>()?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let cipher = self.cipher().ok()?;
        let record = cipher.open_in_place(nonce, Aad::from(&self.context), &mut opened).ok()?;
        record::decode_whole(record)
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{NewSecret, SecretName, UnixTime, VersionId};
    use super::super::options::Options;
    use super::super::rules::Vault;
    use super::*;

    fn key(byte: u8, geography: &str) -> BackupKey {
        BackupKey::new(Zeroizing::new([byte; 32]), geography)
    }

    fn secret(versions: u8) -> Secret {
        let mut vault = Vault::new(Options::default());
        let (name, now) = (SecretName::parse("Name").unwrap(), UnixTime::new(std::time::Duration::ZERO));
        for n in 0..=versions {
            let id = VersionId::new([n; 16]);
            vault.set(&name, NewSecret::from("canary"), id, now).unwrap();
        }
        vault.backup(&name, now).unwrap().clone()
    }

    #[test]
    fn a_blob_opens_to_what_was_sealed_and_shows_none_of_it() {
        let blob = key(1, "here").seal(&secret(2)).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&blob).unwrap();
        assert!(bytes.starts_with(MARKER));
        assert!(!String::from_utf8_lossy(&bytes).contains("canary"));
        let opened = key(1, "here").open(&blob).unwrap();
        assert_eq!(format!("{opened:?}"), format!("{:?}", secret(2)));
        assert_eq!(opened.versions.values().next().unwrap().content.value.expose(), "canary");
    }

    #[test]
    fn foreign_garbled_and_short_blobs_are_malformed() {
        let blob = key(1, "here").seal(&secret(0)).unwrap();
        let mut garbled = URL_SAFE_NO_PAD.decode(&blob).unwrap();
        *garbled.last_mut().unwrap() ^= 1;
        let garbled = URL_SAFE_NO_PAD.encode(garbled);
        let own = key(1, "here");
        for (key, blob) in [
            (&key(2, "here"), blob.as_str()),
            (&key(1, "there"), &blob),
            (&own, &garbled),
            (&own, &blob[..blob.len() / 2]),
            (&own, ""),
            (&own, "AAAA"),
            (&own, "no base64!"),
        ] {
            assert_eq!(key.open(blob).unwrap_err().code, "Malformed backup blob");
        }
    }
}
