//! What a mount takes while it does nothing.

use std::thread;
use std::time::Duration;

use crate::table::{Goal, Row, Table};
use crate::world::{World, numbered, read};

const IDLE: Duration = Duration::from_secs(5);

pub fn rows(world: &World, secrets: usize, table: &mut Table) {
    let mut megabytes = |what, ours, most| {
        table.row(&Row { what, unit: "MB", floor: None, ours, goal: Goal::AtMost(most) });
    };
    let mount = world.mount();
    megabytes("resident memory, idle", mount.resident(), 12.0);
    mount.list("secrets");
    megabytes("– 10,000 secrets listed", mount.resident(), 20.0);
    drop(mount);

    let large = World::with((0..secrets).map(|number| (numbered(number), "x".repeat(1000))));
    let mount = large.mount();
    mount.list("values");
    for number in 0..secrets {
        read(&mount.value(number));
    }
    megabytes("– 10,000 of 1,000 bytes cached", mount.resident(), 40.0);

    let before = mount.cpu();
    thread::sleep(IDLE);
    table.row(&Row {
        what: "CPU time of 5 s in which nobody reads, with those",
        unit: "ms",
        floor: None,
        ours: mount.cpu() - before,
        goal: Goal::Exactly(0.0),
    });
}
