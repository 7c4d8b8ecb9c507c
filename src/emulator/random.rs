//! Chance: version identifiers, request identifiers, keys and shared secrets.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::model::VersionId;

/// Random bytes from the kernel. AWS-LC's would do, but it measures the processor's jitter for 30 ms before
/// it gives the first ones, while somebody waits for a mount.
///
/// # Panics
/// Never on Linux, which has getrandom(2) and waits until it has something to give.
pub(super) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    assert!(getrandom::fill(&mut bytes).is_ok(), "the system has no random bytes");
    bytes
}

pub(super) fn version_id() -> VersionId {
    VersionId::new(bytes())
}

/// A random GUID (version 4) in its usual form.
pub fn guid() -> String {
    guid_of(bytes())
}

/// A secret for somebody to sign in with: 256 random bits in base64url.
pub fn secret() -> Zeroizing<String> {
    URL_SAFE_NO_PAD.encode(Zeroizing::new(bytes::<32>())).into()
}

/// A GUID made of these bytes.
pub(super) fn guid_of(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
