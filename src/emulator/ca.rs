//! The vault's private certificate authority and the certificate it serves with. Keys stay in
//! memory; who wants to talk to the vault is given the authority's certificate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What the certificate is good for besides the two loopback addresses. OpenSSL takes no wildcard
/// directly under a top-level name, hence the longer ones.
const HOSTS: [&str; 4] = ["localhost", "*.localhost", "*.vault.localhost", "*.vault.azure.net"];

/// A TLS server configuration and the authority that vouches for it.
pub(super) struct Credentials {
    pub(super) server: Arc<ServerConfig>,
    pub(super) ca_pem: String,
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaError {
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Makes a new authority and a certificate for a vault of this name.
pub(super) fn make_credentials(vault: &str) -> Result<Credentials, CaError> {
    let ca_key = KeyPair::generate()?;
    let ca = authority(vault).self_signed(&ca_key)?;
    let issuer = Issuer::new(authority(vault), ca_key);
    let key = KeyPair::generate()?;
    let leaf = leaf(vault)?.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone(), ca.der().clone()], key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Credentials { server: Arc::new(server), ca_pem: ca.pem() })
}

fn authority(vault: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("{vault} emulator authority"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf(vault: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut hosts = HOSTS.map(str::to_owned).to_vec();
    hosts.push(format!("{vault}.localhost"));
    let mut params = CertificateParams::new(hosts)?;
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    params.distinguished_name.push(DnType::CommonName, format!("{vault} emulator"));
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}
