//! Every client against a vault that takes its time: all at once, since each of them mostly waits.

use std::thread;

use crate::vault::{Kind, Vault};
use crate::{javascript, python, rust};

const CLIENTS: [(&str, fn()); 5] = [
    ("blocking Python", || python::scenario("blocking", Kind::Slow)),
    ("asyncio Python", || python::scenario("asyncio", Kind::Slow)),
    ("JavaScript", || javascript::scenario(Vault::over_https, Kind::Slow)),
    ("JavaScript over http", || javascript::scenario(Vault::over_http, Kind::Slow)),
    ("Rust", || rust::scenario(Kind::Slow)),
];

#[test]
fn every_client_waits_for_a_slow_vault() {
    thread::scope(|scope| {
        for (name, scenario) in CLIENTS {
            // A panic in it names the thread, and fails the scope.
            thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, scenario).unwrap();
        }
    });
}
