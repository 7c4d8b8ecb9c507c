//! The mount beside what it has to be measured by: the same requests made by hand, the same command on a
//! file in memory, Microsoft's client. `cargo bench --bench rows [-- GROWTH.svg]` prints one table;
//! `cargo bench --bench rows -- fleet FLEET.svg` draws what the test of a fleet prints, from its standard input.
//!
//! Both sides of a row take turns, in one run. The vault has the first CPU, everything else the second: needs
//! root, two CPUs, /dev/shm and taskset. `AKVFS` names another command than the one that was built;
//! `AKVFS_TEST_PYTHON` a Python with Microsoft's client.
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, reason = "a program for people")]

mod client;
mod fleet;
mod growth;
mod listing;
mod memory;
mod plot;
mod processes;
mod reads;
mod table;
mod world;

use std::path::PathBuf;

use table::Table;
use world::{World, numbered, pin};

const SECRETS: usize = 10_000;

fn main() {
    let svg = std::env::args().map(PathBuf::from).find(|path| path.extension().is_some_and(|it| it == "svg"));
    match svg {
        Some(path) if std::env::args().any(|it| it == "fleet") => {
            let output = std::io::read_to_string(std::io::stdin()).unwrap();
            std::fs::write(path, fleet::svg(&output)).unwrap();
        }
        svg => measure(svg),
    }
}

fn measure(svg: Option<PathBuf>) {
    pin(1, std::process::id());
    let mut table = Table::begin();
    let world = World::with((0..SECRETS).map(|number| (numbered(number), format!("{number:032}"))));
    listing::rows(&world, SECRETS, &mut table);
    reads::rows(&world, &mut table);
    processes::rows(&world, &mut table);
    memory::rows(&world, SECRETS, &mut table);
    drop(world);
    let grown = growth::rows();
    if let Some(path) = svg {
        std::fs::write(path, growth::svg(&grown)).unwrap();
    }
}
