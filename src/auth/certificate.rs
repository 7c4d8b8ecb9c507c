//! A client certificate: a PEM file of key and certificate, and the assertion that proves we have the
//! key (RFC 7523).

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::Signer;
use serde_json::json;
use zeroize::Zeroizing;

/// The authority takes no assertion that lives longer than this.
const ASSERTION_SECONDS: u64 = 600;

/// A key and its certificates, the application's own first.
pub(super) struct Certificate {
    signer: Box<dyn Signer>,
    chain: Vec<CertificateDer<'static>>,
}

impl Certificate {
    /// Reads a PEM file. The error says what is missing, and shows nothing of the file.
    pub(super) fn parse(pem: &[u8]) -> Result<Certificate, &'static str> {
        if pem.windows(9).any(|window| window == b"ENCRYPTED") {
            return Err("its key is encrypted: give it without a passphrase");
        }
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "it holds no private key in PEM")?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let chain = chain.map_err(|_| "its certificate cannot be read")?;
        if chain.is_empty() {
            return Err("it holds no certificate in PEM");
        }
        let key = any_supported_type(&key).map_err(|_| "its key is of a kind that cannot sign")?;
        let signer = key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]);
        Ok(Certificate { signer: signer.ok_or("its key is not RSA, which alone is accepted for sign-in")?, chain })
    }

    /// A signed statement that we are the application, for the one endpoint, for ten minutes.
    pub(super) fn assertion(&self, client_id: &str, audience: &str) -> Result<Zeroizing<String>, &'static str> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| "no randomness to be had")?;
        let leaf = self.chain.first().ok_or("no certificate")?;
        let header = json!({
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": URL_SAFE_NO_PAD.encode(digest(&SHA256, leaf)),
            "x5c": self.chain.iter().map(|certificate| STANDARD.encode(certificate)).collect::<Vec<_>>(),
        });
        let claims = json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": URL_SAFE_NO_PAD.encode(id),
            "nbf": now,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        });
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.signer.sign(signed.as_bytes()).map_err(|_| "the client certificate's key cannot sign")?;
        Ok(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};

    use super::*;

    fn pem(key: &KeyPair) -> String {
        let certificate = CertificateParams::new(["app".to_owned()]).unwrap().self_signed(key).unwrap();
        format!("{}{}", key.serialize_pem(), certificate.pem())
    }

    #[test]
    fn an_assertion_names_the_certificate_and_is_signed_by_its_key() {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let certificate = Certificate::parse(pem(&key).as_bytes()).unwrap();
        let assertion = certificate.assertion("client", "https://login.example/t/oauth2/v2.0/token").unwrap();
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.subject_public_key_info());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let parts: Vec<serde_json::Value> = signed
            .split('.')
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0]["x5t#S256"], URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate.chain[0])));
        assert_eq!(parts[1]["aud"], "https://login.example/t/oauth2/v2.0/token");
        assert_eq!((&parts[1]["iss"], &parts[1]["sub"]), (&json!("client"), &json!("client")));
        assert_eq!(parts[1]["exp"].as_u64().unwrap() - parts[1]["nbf"].as_u64().unwrap(), ASSERTION_SECONDS);
    }

    #[test]
    fn what_cannot_sign_says_why() {
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let whole = pem(&rsa);
        let (key, certificate) = whole.split_once("-----BEGIN CERT").unwrap();
        let why = |pem: &str| Certificate::parse(pem.as_bytes()).err().unwrap();
        assert!(why(key).contains("no certificate"));
        assert!(why(&format!("-----BEGIN CERT{certificate}")).contains("no private key"));
        assert!(why("").contains("no private key"));
        assert!(why(&whole.replace("PRIVATE", "ENCRYPTED PRIVATE")).contains("encrypted"));
        assert!(why(&pem(&KeyPair::generate().unwrap())).contains("not RSA"));
    }
}
