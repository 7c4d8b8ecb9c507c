//! Each way to sign in, against the embedded vault's own authority and identity endpoints; `az` and
//! `azd` are stubs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use akvfs::emulator::{AppCredential, Application, Fault, ManagedIdentity, Operation, Permission, Serving};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};
use tokio::runtime::Runtime;

use crate::support::{HOUR, Helper, TestVault, akvfs, shown};

const SECRET: &str = "s3cret&=canary";
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A vault with one secret, and one application that can get it.
fn vault(credential: AppCredential) -> TestVault {
    let vault = TestVault::with(&[("db", "hunter2")]);
    vault.emulator.register(Application {
        client_id: "app".to_owned(),
        credentials: vec![credential],
        permissions: vec![Permission::Get, Permission::List],
    });
    vault
}

fn by_secret() -> TestVault {
    vault(AppCredential::Secret(SECRET.to_owned().into()))
}

/// `akvfs request` for the one secret, with nothing in its environment that could sign it in.
fn request(vault: &TestVault) -> Command {
    let mut command = akvfs();
    command.args(["request", vault.url(), "GET", "/secrets/db", "--no-verify-challenge-resource"]);
    command.arg("--ca-bundle").arg(vault.path("ca.pem"));
    command.env_clear().env("PATH", vault.path("bin")).env("AZURE_AUTHORITY_HOST", vault.url());
    command
}

fn gets_the_secret(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["value"], "hunter2");
}

fn is_refused(command: &mut Command, expected: &str) -> Output {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", shown(&output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(expected) && stderr.lines().count() == 1, "{}", shown(&output));
    assert!(!shown(&output).contains("canary"));
    output
}

#[test]
fn a_client_secret_comes_from_the_environment_a_file_or_a_systemd_credential() {
    let vault = by_secret();
    gets_the_secret(request(&vault).env("AZURE_CLIENT_ID", "app").env("AZURE_CLIENT_SECRET", SECRET));
    fs::write(vault.path("azure-client-secret"), format!("{SECRET}\n")).unwrap();
    gets_the_secret(request(&vault).args(["--client-id", "app"]).env("CREDENTIALS_DIRECTORY", vault.folder.path()));
    let mut by_file = request(&vault);
    by_file.args(["--auth", "client-secret", "--client-id", "app", "--client-secret-file"]);
    gets_the_secret(by_file.arg(vault.path("azure-client-secret")));
}

#[test]
fn a_wrong_secret_is_told_from_an_unknown_application() {
    let vault = by_secret();
    let with = |id: &str, secret: &str| {
        let mut command = request(&vault);
        command.env("AZURE_CLIENT_ID", id).env("AZURE_CLIENT_SECRET", secret);
        command
    };
    is_refused(&mut with("app", "canary"), "AADSTS7000215): the client secret is wrong");
    is_refused(&mut with("nobody", "canary"), "AADSTS700016): there is no such application");
}

#[test]
fn a_client_secret_leaves_the_environment() {
    let vault = by_secret();
    vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecret));
    let mut command = request(&vault);
    command.env("AZURE_CLIENT_ID", "app").env("AZURE_CLIENT_SECRET", SECRET).stdout(Stdio::null());
    let mut running = Helper(command.spawn().unwrap());
    vault.until_hanging(1);
    match fs::read(format!("/proc/{}/environ", running.0.id())) {
        Ok(environment) => {
            let environment = String::from_utf8_lossy(&environment).into_owned();
            assert!(environment.contains("AZURE_CLIENT_ID=app") && !environment.contains("canary"));
        }
        // Dumps are forbidden, and with them this, save for root.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
    vault.emulator.faults().release();
    assert!(running.0.wait().unwrap().success());
}

#[test]
fn a_client_certificate_signs_in() {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let certificate = CertificateParams::new(["app".to_owned()]).unwrap().self_signed(&key).unwrap();
    let vault = vault(AppCredential::Certificate(key.subject_public_key_info()));
    let pem = vault.path("app.pem");
    fs::write(&pem, format!("{}{}", key.serialize_pem(), certificate.pem())).unwrap();
    gets_the_secret(request(&vault).args(["--client-id", "app", "--client-certificate"]).arg(&pem));
    gets_the_secret(request(&vault).env("AZURE_CLIENT_ID", "app").env("AZURE_CLIENT_CERTIFICATE_PATH", &pem));
    let other = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    fs::write(&pem, format!("{}{}", other.serialize_pem(), certificate.pem())).unwrap();
    let mut command = request(&vault);
    is_refused(command.args(["--client-id", "app", "--client-certificate"]).arg(&pem), "AADSTS700213");
}

#[test]
fn a_workload_identity_signs_in() {
    let vault = vault(AppCredential::Assertion("ey.J.x".to_owned().into()));
    fs::write(vault.path("federated"), "ey.J.x").unwrap();
    let mut command = request(&vault);
    command.env("AZURE_CLIENT_ID", "app").env("AZURE_FEDERATED_TOKEN_FILE", vault.path("federated"));
    gets_the_secret(&mut command);
    fs::write(vault.path("federated"), "ey.J.canary").unwrap();
    is_refused(&mut command, "AADSTS700213");
}

fn managed_identity(vault: &TestVault, runtime: &Runtime) -> Serving {
    let identity = ManagedIdentity {
        client_id: "identity".to_owned(),
        permissions: vec![Permission::Get],
        identity_header: Some("canary-header".to_owned().into()),
        imds: true,
    };
    runtime.block_on(vault.emulator.serve_managed_identity(LOOPBACK, identity)).unwrap()
}

#[test]
fn a_managed_identity_signs_in_on_a_machine_and_in_a_service() {
    let vault = TestVault::with(&[("db", "hunter2")]);
    let runtime = Runtime::new().unwrap();
    let endpoint = managed_identity(&vault, &runtime);
    let machine = || {
        let mut command = request(&vault);
        command.args(["--auth", "managed-identity"]).env("AZURE_POD_IDENTITY_AUTHORITY_HOST", endpoint.url());
        command.env("HTTP_PROXY", "http://127.0.0.1:9"); // which must not be used
        command
    };
    gets_the_secret(&mut machine());
    gets_the_secret(machine().args(["--client-id", "identity"]));
    is_refused(machine().args(["--client-id", "other"]), "knows no such identity");
    let service = |header: &str| {
        let mut command = request(&vault);
        command.env("IDENTITY_ENDPOINT", format!("{}/msi/token", endpoint.url())).env("IDENTITY_HEADER", header);
        command
    };
    gets_the_secret(&mut service("canary-header"));
    is_refused(&mut service("guess"), "refuses to sign in (HTTP 401)");
}

/// A program in the one folder of the PATH.
fn stub(vault: &TestVault, name: &str, script: &str) {
    fs::create_dir_all(vault.path("bin")).unwrap();
    let path = vault.path("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_azure_clis_are_asked_for_the_vaults_tenant_and_resource() {
    let vault = TestVault::with(&[("db", "hunter2")]);
    let token = vault.emulator.issue_token(HOUR);
    let tenant = vault.emulator.tenant();
    let az = format!(r#"{{"accessToken":"{token}","expires_on":4102444800,"expiresOn":"2100-01-01 00:00:00.000000"}}"#);
    let azd = format!(r#"{{"token":"{token}","expiresOn":"2100-01-01T00:00:00Z"}}"#);
    for (program, answer, arguments) in [
        (
            "azd",
            azd,
            format!(
                "auth token --output json --no-prompt --scope https://vault.azure.net/.default --tenant-id {tenant}"
            ),
        ),
        (
            "az",
            az,
            format!(
                "account get-access-token --output json --scope https://vault.azure.net/.default --tenant {tenant}"
            ),
        ),
    ] {
        fs::write(vault.path("answer"), answer).unwrap();
        let (seen, answer) = (vault.path("seen"), vault.path("answer"));
        stub(&vault, program, &format!("echo \"$@\" > {}\ncat {}", seen.display(), answer.display()));
        gets_the_secret(&mut request(&vault)); // by itself: nothing else is there, and az goes before azd
        assert_eq!(fs::read_to_string(seen).unwrap().trim(), arguments);
    }
}

#[test]
fn what_is_wrong_with_an_azure_cli_is_told() {
    let vault = TestVault::with(&[("db", "hunter2")]);
    let by_az = || {
        let mut command = request(&vault);
        command.args(["--auth", "azure-cli"]);
        command
    };
    is_refused(&mut by_az(), "there is no az in PATH");
    stub(&vault, "az", "echo \"ERROR: Please run 'az login' to setup account. canary\" >&2; exit 1");
    is_refused(&mut by_az(), "run `az login` as the user");
    stub(&vault, "az", "echo 'ERROR: AADSTS50076: canary' >&2; exit 1");
    is_refused(&mut by_az(), "AADSTS50076");
    stub(&vault, "az", "echo canary");
    is_refused(&mut by_az(), "no token that can be read");
    let token = vault.emulator.issue_token(HOUR);
    let script = format!(
        "case \"$*\" in *--tenant*) echo \"ERROR: Tenant shouldn't be specified for Managed Identity account\" >&2; exit 1;; esac\n\
         echo '{{\"accessToken\":\"{token}\",\"expires_on\":4102444800}}'"
    );
    stub(&vault, "az", &script);
    gets_the_secret(&mut by_az());
}

#[test]
fn with_no_way_to_sign_in_the_ways_are_named() {
    let vault = TestVault::empty();
    let output = request(&vault).output().unwrap();
    if output.status.code() == Some(3) {
        return; // a virtual machine of Azure's has a way
    }
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    for way in ["--token-file", "--client-secret-file", "--client-certificate", "az login", "managed-identity"] {
        assert!(stderr.contains(way), "{stderr}");
    }
}
