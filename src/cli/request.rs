//! Flags of `akvfs request`.

use std::path::PathBuf;

use clap::Args;

use super::access::AccessArgs;

/// The flags of `akvfs request`.
#[derive(Args, Debug, Clone)]
#[command(after_help = "\
The request goes out as every other of akvfs does: with the vault's token, the api-version, the limits,
and retries where it only reads. The answer is written as it came.

Exit codes: 0 for 2xx, 3 for 401 and 403, 4 for 5xx or no answer, 1 for anything else, 2 wrong usage.

Examples:
  akvfs request my-vault GET /secrets
  akvfs request my-vault GET '/secrets/db-password/versions?maxresults=5'
  printf '{\"value\":\"hunter2\"}' | akvfs request my-vault PUT /secrets/db-password --body -
  akvfs request my-vault POST /secrets/db-password/backup -o backup.json
  akvfs request my-vault POST /secrets/restore --body backup.json")]
pub struct RequestArgs {
    /// As for `akvfs mount`
    #[arg(value_name = "VAULT")]
    pub vault: String,
    /// GET, PUT, POST, PATCH or DELETE
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// Path below the vault, with a query if need be; a nextLink may be given as it is
    #[arg(value_name = "PATH")]
    pub path: String,
    /// The body, from a file, or - for standard input: a secret has no place in a command line
    #[arg(long, value_name = "FILE")]
    pub body: Option<PathBuf>,
    /// Show the status and the headers first
    #[arg(short, long)]
    pub include: bool,
    /// Write the answer to this file, readable by its owner only, in place of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How to reach the vault.
    #[command(flatten)]
    pub access: AccessArgs,
}
