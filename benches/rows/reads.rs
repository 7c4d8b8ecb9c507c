//! Cold reads, beside the same gets made by hand.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use akvfs::emulator::Operation;

use crate::client::Client;
use crate::table::{Goal, Row, Table, median};
use crate::world::{Mount, World, micros, numbered, read};

/// Secrets that the rows read cold, from different places of the listing: none is read twice.
const SINGLE: std::ops::Range<usize> = 0..500;
const SHARED: usize = 600;
const DISTINCT: [usize; 5] = [1000, 2000, 3000, 4000, 5000];
const READERS: usize = 1000;
const AT_A_TIME: usize = 64;

pub fn rows(world: &World, table: &mut Table) {
    let client = Client::of(world);
    client.get(&numbered(0)); // connects
    let mount = world.mount();
    mount.list("values"); // or each open would look its name up first
    single(world, &client, &mount, table);
    shared(world, &mount, table);
    distinct(&client, &mount, table);
}

fn single(world: &World, client: &Client, mount: &Mount, table: &mut Table) {
    let (mut gets, mut cold, mut cached) = (Vec::new(), Vec::new(), Vec::new());
    world.emulator.clear_requests();
    for number in SINGLE {
        let path = mount.value(number);
        gets.push(client.get(&numbered(number)));
        cold.push(read(&path));
        cached.push(read(&path));
    }
    let (get, cached) = (median(gets), median(cached));
    let reads = SINGLE.len() as f64;
    table.row(&Row {
        what: "cold open+read+close, less a cached one, and one warm reqwest GET",
        unit: "µs",
        floor: Some(get),
        ours: median(cold) - cached,
        goal: Goal::Times(1.1),
    });
    table.row(&Row {
        what: "– requests for each",
        unit: "requests",
        floor: None,
        ours: (world.asked(Operation::GetSecret) - reads) / reads,
        goal: Goal::Exactly(1.0),
    });
}

fn shared(world: &World, mount: &Mount, table: &mut Table) {
    world.emulator.clear_requests();
    let (path, together) = (mount.value(SHARED), Barrier::new(READERS));
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                together.wait();
                read(&path);
            });
        }
    });
    table.row(&Row {
        what: "1,000 readers of one cold secret",
        unit: "requests",
        floor: None,
        ours: world.asked(Operation::GetSecret),
        goal: Goal::Exactly(1.0),
    });
}

fn distinct(client: &Client, mount: &Mount, table: &mut Table) {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    let read = |first, secrets| read_all(mount, first, secrets) / 1000.0;
    client.get_all((0..AT_A_TIME).map(numbered).collect(), AT_A_TIME); // connects
    read(6000, AT_A_TIME);
    for first in DISTINCT {
        theirs.push(client.get_all((first..first + READERS).map(numbered).collect(), AT_A_TIME) / 1000.0);
        let cold = read(first, READERS);
        ours.push(cold - read(first, READERS));
    }
    table.row(&Row {
        what: "1,000 distinct cold secrets, 64 at a time, less the same cached, and by reqwest",
        unit: "ms",
        floor: Some(median(theirs)),
        ours: median(ours),
        goal: Goal::Times(1.15),
    });
}

/// Reads so many secrets from one on, 64 at a time, in microseconds.
fn read_all(mount: &Mount, first: usize, secrets: usize) -> f64 {
    let next = AtomicUsize::new(first);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= first + secrets {
                        return;
                    }
                    read(&mount.value(number));
                }
            });
        }
    });
    micros(start)
}
