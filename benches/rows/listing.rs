//! A cold listing, beside its pages fetched one after the other.

use std::time::Instant;

use akvfs::emulator::Operation;

use crate::client::Client;
use crate::table::{Goal, Row, Table, median};
use crate::world::{World, micros};

const ROUNDS: usize = 5;

pub fn rows(world: &World, secrets: usize, table: &mut Table) {
    let client = Client::of(world);
    let (_, pages, _) = client.list();
    let (mut theirs, mut ours, mut requests) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..ROUNDS {
        let (took, _, found) = client.list();
        theirs.push(took / 1000.0);
        let mount = world.mount();
        let start = Instant::now();
        let listed = mount.list("secrets");
        ours.push(micros(start) / 1000.0);
        assert_eq!((found, listed), (secrets, secrets));
        requests = world.asked(Operation::GetSecrets);
    }
    table.row(&Row {
        what: "`ls secrets/` of 10,000, cold, and the pages by reqwest",
        unit: "ms",
        floor: Some(median(theirs)),
        ours: median(ours),
        goal: Goal::Times(1.05),
    });
    table.row(&Row {
        what: "– requests for it, and pages",
        unit: "requests",
        floor: Some(pages as f64),
        ours: requests,
        goal: Goal::Exactly(pages as f64),
    });
}
