//! An `akvfs emulator` of its own for each scenario, and what a client has to know of it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::akvfs;

const EMPTY_PAGES: u32 = 120;
/// Files in the folder of a vault.
const CONTROL: &str = "control";

/// What the scenario has to cope with.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Prompt,
    /// Deletions, recoveries, restores and purges take 4 s.
    Slow,
    /// Before each page of a list there are 120 empty ones.
    Sparse,
}

impl Kind {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Kind::Slow => &["--deletion-delay", "4s", "--recovery-delay", "4s", "--purge-delay", "4s"],
            Kind::Prompt | Kind::Sparse => &[],
        }
    }

    fn empty_pages(self) -> u32 {
        if self == Kind::Sparse { EMPTY_PAGES } else { 0 }
    }
}

/// A running emulator; it ends when this is dropped.
pub(crate) struct Vault {
    /// `None` if the process is somebody else's.
    process: Option<Child>,
    folder: TempDir,
    line: Value,
}

impl Vault {
    /// Serves https on a port of its own.
    pub(crate) fn over_https(kind: Kind) -> Vault {
        Vault::of(kind, &[])
    }

    /// Serves http on a port of its own.
    pub(crate) fn over_http(kind: Kind) -> Vault {
        Vault::of(kind, &["--http", "127.0.0.1:0"])
    }

    /// One that runs already, by the line that it printed.
    pub(crate) fn elsewhere(line: &str) -> Vault {
        let (line, folder) = (serde_json::from_str(line).unwrap(), tempfile::tempdir().unwrap());
        Vault { process: None, folder, line }
    }

    pub(crate) fn of(kind: Kind, flags: &[&str]) -> Vault {
        let folder = tempfile::tempdir().unwrap();
        let mut command = akvfs();
        command.current_dir(&folder).args(["emulator", "--control", CONTROL]).args(kind.flags()).args(flags);
        let vault = Vault::started(command, folder).with("empty_pages", json!(kind.empty_pages()));
        if kind == Kind::Sparse {
            vault.queue(&json!({"fault": {"empty_pages": EMPTY_PAGES}, "times": u32::MAX}));
        }
        vault
    }

    /// Runs a command that ends up as an emulator, and waits for its line.
    pub(crate) fn started(mut command: Command, folder: TempDir) -> Vault {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let line = serde_json::from_str(&line).expect("the emulator says how to reach it");
        Vault { process: Some(process), folder, line }
    }

    /// Tells the scenario one thing more, or another thing.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Vault {
        self.line[key] = value;
        self
    }

    fn queue(&self, rule: &Value) {
        let client = reqwest::Client::builder().unix_socket(self.path(CONTROL)).build().unwrap();
        let request = client.post("http://control.localhost/faults").body(rule.to_string());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        assert_eq!(runtime.block_on(request.send()).unwrap().status(), 204);
    }

    pub(crate) fn line(&self) -> &Value {
        &self.line
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.line[key].as_str().unwrap()
    }

    /// What is in a file that the line names.
    pub(crate) fn content(&self, key: &str) -> String {
        std::fs::read_to_string(self.text(key)).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = Command::new("kill").arg(process.id().to_string()).status();
            let _ = process.wait();
        }
    }
}
