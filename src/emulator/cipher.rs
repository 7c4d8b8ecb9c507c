//! Encryption of records: AES-256-GCM-SIV under random nonces, each record bound to its place, so
//! that none can be read, changed, or moved to another. Names are found by a keyed hash.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::keys::MasterKey;

const NONCE: usize = 12;

/// The keys of one store.
pub(super) struct Cipher {
    records: RandomizedNonceKey,
    names: hmac::Key,
}

impl Cipher {
    /// `None` only where AWS-LC refuses a key of the right length, which it does not.
    pub(super) fn new(master: &MasterKey) -> Option<Self> {
        let records = RandomizedNonceKey::new(&AES_256_GCM_SIV, &*master.subkey("store records")).ok()?;
        let names = hmac::Key::new(hmac::HMAC_SHA256, &*master.subkey("store names"));
        Some(Cipher { records, names })
    }

    /// Where a name's records stand.
    pub(super) fn hash(&self, name: &str) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.names, name.as_bytes()).as_ref());
        hash
    }

    /// Encrypts a record for its place.
    pub(super) fn seal(&self, place: &[u8], mut record: Zeroizing<Vec<u8>>) -> Option<Vec<u8>> {
        let nonce = self.records.seal_in_place_append_tag(Aad::from(place), &mut *record).ok()?;
        Some([nonce.as_ref(), record.as_slice()].concat())
    }

    /// Decrypts the record of a place; `None` where it is not what was sealed there by this key.
    pub(super) fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let mut record = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.records.open_in_place(nonce, Aad::from(place), &mut record).ok()?.len();
        record.truncate(length);
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_in_its_place_alone() {
        let cipher = |byte: u8| Cipher::new(&MasterKey::from([byte; 32])).unwrap();
        let sealed = cipher(1).seal(b"here", Zeroizing::new(b"canary".to_vec())).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        assert_eq!(cipher(1).open(b"here", &sealed).unwrap().as_slice(), b"canary");
        assert!(cipher(1).open(b"there", &sealed).is_none());
        assert!(cipher(2).open(b"here", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(cipher(1).open(b"here", &changed).is_none());
            assert!(cipher(1).open(b"here", &sealed[..at]).is_none());
        }
    }
}
