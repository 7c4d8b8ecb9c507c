//! PFX turned into PEM by `outContentType`, judged by openssl, which also makes the PFX files.

use std::path::Path;
use std::process::Command;

use akvfs::emulator::NewSecret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::client::{Reply, Served, empty};

/// A leaf under an authority, the authority first in the file, in each of the ciphers that are about.
const MAKE: &str = r#"
set -e
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=authority -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=leaf.example -keyout leaf.key -out leaf.csr
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 7 -out leaf.pem
openssl pkcs12 -export -inkey leaf.key -in leaf.pem -certfile ca.pem -passout pass: -out aes
openssl pkcs12 -export -inkey leaf.key -in leaf.pem -certfile ca.pem -passout pass: -keypbe PBE-SHA1-3DES \
    -certpbe PBE-SHA1-3DES -macalg sha1 -out 3des
openssl pkcs12 -export -nokeys -in leaf.pem -passout pass: -out without-key
"#;
const SHOW: &str = r#"
set -e
openssl pkey -in "$0" -pubout
openssl crl2pkcs7 -nocrl -certfile "$0" | openssl pkcs7 -print_certs -noout
"#;

fn shell(folder: &Path, script: &str, argument: &str) -> String {
    let output = Command::new("sh").args(["-c", script, argument]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn certificate(value: String) -> NewSecret {
    NewSecret { managed: true, content_type: Some("application/x-pkcs12".to_owned()), ..NewSecret::from(value) }
}

async fn in_pem(served: &Served, name: &str) -> Reply {
    let asked = "api-version=2025-07-01&outContentType=application/x-pem-file";
    served.client.get(&format!("/secrets/{name}?{asked}")).await
}

#[tokio::test]
async fn a_pfx_is_given_out_as_key_certificate_and_chain() {
    let (served, folder) = (empty().await, tempfile::tempdir().unwrap());
    shell(folder.path(), MAKE, "");
    let key = shell(folder.path(), "openssl pkey -in leaf.key -pubout", "");
    for file in ["aes", "3des"] {
        let pfx = STANDARD.encode(std::fs::read(folder.path().join(file)).unwrap());
        served.vault.put(file, certificate(pfx.clone())).unwrap();
        let reply = in_pem(&served, file).await.json();
        assert_eq!(reply["contentType"], "application/x-pem-file");
        std::fs::write(folder.path().join("pem"), reply["value"].as_str().unwrap()).unwrap();
        let shown = shell(folder.path(), SHOW, "pem");
        let subjects: Vec<_> = shown.lines().filter(|line| line.starts_with("subject")).collect();
        assert!(shown.starts_with(&key), "{file}");
        assert_eq!(subjects, ["subject=CN = leaf.example", "subject=CN = authority"], "{file}");
        assert_eq!(
            served.client.get(&format!("/secrets/{file}")).await.json()["value"],
            pfx,
            "unasked, it stays a PFX"
        );
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_exported_is_left_out_and_garbage_is_refused() {
    let (served, folder) = (empty().await, tempfile::tempdir().unwrap());
    shell(folder.path(), MAKE, "");
    let pfx = STANDARD.encode(std::fs::read(folder.path().join("without-key")).unwrap());
    served.vault.put("without-key", certificate(pfx)).unwrap();
    let pem = in_pem(&served, "without-key").await.json()["value"].as_str().unwrap().to_owned();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n") && !pem.contains("PRIVATE"), "{pem}");
    served.vault.put("garbage", certificate(STANDARD.encode("no PFX"))).unwrap();
    assert_eq!(in_pem(&served, "garbage").await.verdict(), "400 BadParameter");
}
