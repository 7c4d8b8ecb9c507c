//! Flags that mean nothing, or do not go together: exit code 2, before anything is touched.

use crate::support::{akvfs, shown};

/// Arguments, and what the one error line must say.
const WRONG: &[(&[&str], &str)] = &[
    (&["mount", "demo:"], "<DIR>"),
    (&["mount", "ab", "/nonexistent/dir"], "\"ab\" is no vault"),
    (&["mount", "http://a.vault.azure.net", "/nonexistent/dir"], "only https://"),
    (&["mount", "hsm.managedhsm.azure.net", "/nonexistent/dir"], "Managed HSM"),
    (&["mount", "local:../x", "/nonexistent/dir"], "\"local:../x\" is no vault"),
    (&["mount", "local:", "/nonexistent/dir", "--token-file", "x"], "--token-file is of no use"),
    (&["mount", "demo:", "/nonexistent/dir", "--key-file", "x"], "give it with local:"),
    (&["emulator", "--key-file", "x"], "give it with --store DIR"),
    (&["emulator", "--in-memory", "--store", "x"], "cannot be used with"),
    (&["emulator", "--retention-days", "3"], "7 to 90 days"),
    (&["mount", "my-vault", "/nonexistent/dir", "--auth", "token-file"], "--token-file FILE"),
    (&["mount", "my-vault", "/nonexistent/dir", "--auth", "client-secret", "--client-id", "x"], "--client-secret-file"),
    (&["mount", "my-vault", "/nonexistent/dir", "--auth", "azure-cli", "--token-file", "x"], "of no use with --auth"),
    (&["mount", "demo:", "/nonexistent/dir", "--max-rps", "0"], "--max-rps must be more than 0"),
    (&["mount", "demo:", "/nonexistent/dir", "--page-size", "26"], "1 to 25 entries"),
    (&["request", "demo:", "HEAD", "/secrets"], "GET, PUT, POST, PATCH or DELETE"),
    (&["request", "demo:", "GET", "https://evil.example/secrets"], "a URL of this very vault"),
    (&["request", "demo:", "GET", "secrets"], "begin with one slash"),
    (&["emulator", "--http", "127.0.0.1:0", "--unix", "x"], "cannot be used with"),
    (&["emulator", "--http", "127.0.0.1:0", "--sign-in", "client-secret"], "needs https"),
    (&["emulator", "--unix", "x", "--sign-in", "imds,workload-identity"], "--sign-in workload-identity needs https"),
    (&["emulator", "--sign-in", "password"], "[possible values: client-secret"),
    (&["emulator", "--permissions", "get,write"], "--permissions \"write\""),
    (&["emulator", "--identity-listen", "127.0.0.1:0"], "--sign-in app-service or imds"),
    (&["mount", "demo:", "/nonexistent/dir", "--token-file", "x"], "--token-file is of no use"),
    (&["mount", "demo:", "/nonexistent/dir", "--file-mode", "0999"], "--file-mode \"0999\" is no file mode"),
    (&["mount", "demo:", "/nonexistent/dir", "--dir-mode", "01777"], "--dir-mode \"01777\" is no file mode"),
    (&["mount", "demo:", "/nonexistent/dir", "--uid", "12345"], "add --allow-other"),
    (
        &["mount", "demo:", "/nonexistent/dir", "--allow-other", "--file-mode", "444", "--dir-mode", "555"],
        "--world-readable",
    ),
    (&["mount", "demo:", "/nonexistent/dir", "--ttl", "soon"], "'soon' for '--ttl <DURATION>'"),
    (&["mount", "demo:", "/nonexistent/dir", "--deadline", "0s"], "--deadline must be more than 0"),
    (&["mount", "demo:", "/nonexistent/dir", "--api-version", "7 4"], "--api-version \"7 4\""),
    (
        &["mount", "my-vault", "/nonexistent/dir", "--token-file", "x", "--ca-bundle", "/nonexistent/ca"],
        "CA bundle /nonexistent/ca",
    ),
    (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
];

#[test]
fn usage_errors_name_the_flag_and_the_remedy() {
    for (arguments, expected) in WRONG {
        let output = akvfs().args(*arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", shown(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected), "{arguments:?}: {}", shown(&output));
        assert!(output.stdout.is_empty());
    }
    assert!(!std::path::Path::new("/nonexistent").exists());
}

#[test]
fn help_shows_every_flag_and_an_example() {
    let help = |command: &str| String::from_utf8(akvfs().args([command, "--help"]).output().unwrap().stdout).unwrap();
    let mount = help("mount");
    for flag in "--foreground --ttl --deadline --uid --gid --file-mode --dir-mode --allow-other --ca-bundle --auth \
                 --token-file --client-id --tenant-id --client-secret-file --client-certificate --cloud --max-rps \
                 --page-size --no-verify-challenge-resource --api-version --log-level"
        .split_whitespace()
    {
        assert!(mount.contains(flag), "{flag}");
    }
    assert!(mount.contains("az account get-access-token"));
    assert!(help("unmount").contains("--lazy"));
    let whole = String::from_utf8(akvfs().arg("--help").output().unwrap().stdout).unwrap();
    assert!(whole.contains("akvfs mount demo:") && whole.contains("Exit codes"));
    let version = String::from_utf8(akvfs().arg("--version").output().unwrap().stdout).unwrap();
    assert_eq!(version, format!("akvfs {}\n", env!("CARGO_PKG_VERSION")));
}
