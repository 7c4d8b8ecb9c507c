//! The demo vault: an example of everything a mount can show. All of it is made up.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Emulator, EmulatorError, NewSecret};

const DAY: i64 = 86_400;
const LONGEST_VALUE: usize = 25_600;

/// A self-signed P-256 certificate of `demo.example` with its key and no password, as vaults
/// export them. Made once by
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500
/// -subj /CN=demo.example -addext subjectAltName=DNS:demo.example -keyout k.pem -out c.pem` and
/// `openssl pkcs12 -export -inkey k.pem -in c.pem -name demo -passout pass: -out certificate.pfx`.
const PFX: &[u8] = include_bytes!("demo/certificate.pfx");

pub(super) fn seed(vault: &Emulator) -> Result<(), EmulatorError> {
    texts(vault)?;
    encodings(vault)?;
    times(vault)?;
    certificates(vault)?;
    deleted(vault)
}

fn texts(vault: &Emulator) -> Result<(), EmulatorError> {
    for value in ["first-password", "second-password", "third-password"] {
        vault.put("database-password", value.into())?;
    }
    vault.put("Api-Key", "k-1234567890abcdef".into())?;
    vault.put("MixedCase-Name", "names keep their case and compare without it".into())?;
    vault.put("multi-line", "first line\nsecond line\nthird line\n".into())?;
    vault.put("windows-lines", "first line\r\nsecond line\r\n".into())?;
    vault.put("unicode", "Grüße, 世界, \u{1f511}".into())?;
    vault.put("empty", "".into())?;
    vault.put("longest", "0123456789abcdef".repeat(LONGEST_VALUE / 16).into())?;
    let disabled = NewSecret { enabled: false, ..NewSecret::from("nobody reads this") };
    vault.put("disabled", disabled)?;
    let tagged = tagged("tags say more", &[("environment", "demo"), ("owner", "team-a")]);
    vault.put("tagged", NewSecret { content_type: Some("text/plain".into()), ..tagged })?;
    Ok(())
}

fn encodings(vault: &Emulator) -> Result<(), EmulatorError> {
    // What `az keyvault secret set --file --encoding` stores for a binary file.
    let bytes: Vec<u8> = (0..=255).collect();
    vault.put("binary-base64", tagged(&mime(&bytes), &[("file-encoding", "base64")]))?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    vault.put("binary-hex", tagged(&hex, &[("file-encoding", "hex")]))?;
    vault.put("text-utf8", tagged("plain text\n", &[("file-encoding", "utf-8")]))?;
    Ok(())
}

fn times(vault: &Emulator) -> Result<(), EmulatorError> {
    let now = vault.clock().now().seconds();
    let timed = |value: &str, not_before, expires_on| NewSecret { not_before, expires_on, ..NewSecret::from(value) };
    vault.put("expiring", timed("good for a week", None, Some(now + 7 * DAY)))?;
    vault.put("expired", timed("out of date since yesterday", None, Some(now - DAY)))?;
    vault.put("not-yet-valid", timed("good from next month on", Some(now + 30 * DAY), None))?;
    Ok(())
}

fn deleted(vault: &Emulator) -> Result<(), EmulatorError> {
    for (name, value) in [("old-password", "not in use any more"), ("old-token", "t-0987654321")] {
        vault.put(name, value.into())?;
        vault.direct().delete(name).map_err(|refused| EmulatorError::Refused(refused.to_string()))?;
    }
    Ok(())
}

fn certificates(vault: &Emulator) -> Result<(), EmulatorError> {
    let now = vault.clock().now().seconds();
    let managed = |value: String, content_type: &str| NewSecret {
        value: value.into(),
        content_type: Some(content_type.to_owned()),
        not_before: Some(now),
        expires_on: Some(now + 365 * DAY),
        managed: true,
        ..NewSecret::default()
    };
    let pem = pem().map_err(|error| EmulatorError::Certificate(error.to_string()))?;
    vault.put("web-certificate-pem", managed(pem, "application/x-pem-file"))?;
    let pfx = STANDARD.encode(PFX);
    vault.put("web-certificate-pfx", managed(pfx, "application/x-pkcs12"))?;
    Ok(())
}

/// A fresh self-signed certificate behind its key, as vaults export PEM.
fn pem() -> Result<String, rcgen::Error> {
    let made = rcgen::generate_simple_self_signed(["demo.example".to_owned()])?;
    Ok(format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem()))
}

fn tagged(value: &str, tags: &[(&str, &str)]) -> NewSecret {
    let pairs = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    NewSecret { tags: Some(pairs.collect::<BTreeMap<_, _>>()), ..NewSecret::from(value) }
}

/// Base64 as Python's `encodebytes` writes it: a newline after each 76 characters and at the end.
fn mime(bytes: &[u8]) -> String {
    let lines = bytes.chunks(57).map(|line| STANDARD.encode(line) + "\n");
    lines.collect()
}
