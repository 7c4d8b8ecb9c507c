//! Cost against the number of secrets, and of versions: nothing worse than linear, a read constant.

use std::time::Instant;

use crate::plot::{curve, document, level, mark, title};
use crate::table::{figure, median};
use crate::world::{Mount, World, micros, numbered, read};

const SECRETS: [usize; 4] = [100, 1_000, 10_000, 100_000];
const VERSIONS: [usize; 4] = [1, 10, 100, 500];
const READS: usize = 100;
/// Decades that the plot's axes show: secrets, and microseconds.
const ACROSS: (f64, f64) = (2.0, 5.0);
const UP: (f64, f64) = (0.0, 4.0);

/// Costs at one size, in microseconds and megabytes.
pub struct Grown {
    pub secrets: usize,
    /// Cold listing, for each secret.
    pub listed: f64,
    /// The same again, from memory.
    pub listed_again: f64,
    pub cold_read: f64,
    pub cached_read: f64,
    pub resident: f64,
}

/// Both tables; the figures of the first.
pub fn rows() -> Vec<Grown> {
    println!();
    println!("| secrets | cold `ls`, µs each | `ls` again, µs each | cold read, µs | cached read, µs | resident, MB |");
    println!("|---|---|---|---|---|---|");
    let grown: Vec<_> = SECRETS.into_iter().map(of_secrets).collect();
    println!();
    println!("| versions | `ls secrets/NAME`, ms | `ls` again, ms | cold read, µs | cached read, µs |");
    println!("|---|---|---|---|---|");
    VERSIONS.into_iter().for_each(of_versions);
    grown
}

fn of_secrets(secrets: usize) -> Grown {
    let world = World::with((0..secrets).map(|number| (numbered(number), "x".to_owned())));
    let mount = world.mount();
    let each = |took: f64| took / secrets as f64;
    let (listed, listed_again) = (each(list(&mount, "values", secrets)), each(list(&mount, "values", secrets)));
    let resident = mount.resident();
    let paths: Vec<_> = (0..READS).map(|number| mount.value(number * (secrets / READS))).collect();
    let reads = || median(paths.iter().map(|path| read(path)).collect());
    let grown = Grown { secrets, listed, listed_again, cold_read: reads(), cached_read: reads(), resident };
    let costs = [grown.listed, grown.listed_again, grown.cold_read, grown.cached_read, grown.resident];
    println!("| {secrets} | {} |", costs.map(figure).join(" | "));
    grown
}

fn of_versions(versions: usize) {
    let world = World::with((0..versions).map(|number| ("db".to_owned(), number.to_string())));
    let mount = world.mount();
    let path = mount.directory.join("secrets/db/current");
    let cold = read(&path);
    let listed = || list(&mount, "secrets/db", versions + 2) / 1000.0;
    let (first, again) = (listed(), listed());
    let cached = median((0..READS).map(|_| read(&path)).collect());
    println!("| {versions} | {} |", [first, again, cold, cached].map(figure).join(" | "));
}

fn list(mount: &Mount, directory: &str, entries: usize) -> f64 {
    let start = Instant::now();
    assert_eq!(mount.list(directory), entries);
    micros(start)
}

/// The first table as a plot. Both axes are logarithmic, so that what is linear in the number of secrets is
/// level here, being shown for each.
pub fn svg(grown: &[Grown]) -> String {
    let curves: [Curve; 4] = [
        ("cold ls, each", "#c0392b", |grown| grown.listed),
        ("ls again, each", "#e67e22", |grown| grown.listed_again),
        ("cold read", "#2980b9", |grown| grown.cold_read),
        ("cached read", "#27ae60", |grown| grown.cached_read),
    ];
    let point = |grown: &Grown, of: fn(&Grown) -> f64| (part(grown.secrets as f64, ACROSS), part(of(grown), UP));
    let curves = curves.map(|(name, colour, of)| curve(name, colour, grown.iter().map(|grown| point(grown, of))));
    let levels = decades(UP).map(|micros| level(part(micros, UP), &format!("{micros} µs")));
    let marks = decades(ACROSS).map(|secrets| mark(part(secrets, ACROSS), &secrets.to_string()));
    document(levels.chain(marks).chain([title("secrets")]).chain(curves))
}

/// A name, a colour, and what is drawn.
type Curve = (&'static str, &'static str, fn(&Grown) -> f64);

fn part(value: f64, (from, to): (f64, f64)) -> f64 {
    (value.log10() - from) / (to - from)
}

fn decades((from, to): (f64, f64)) -> impl Iterator<Item = f64> {
    (from as i32..=to as i32).map(|power| 10_f64.powi(power))
}
