//! The curve of a fleet, drawn from the table that its test prints
//! (`cargo test --lib cache::tests::load::a_fleet_of_a_thousand_machines -- --ignored --nocapture`).

use crate::plot::{border, curve, document, level, mark, title};

/// Requests that the vault takes in a minute, and where the axis ends.
const LIMIT: f64 = 24_000.0;
const TOP: f64 = 30_000.0;
const LEVELS: [f64; 4] = [0.0, 10_000.0, 20_000.0, LIMIT];

/// A minute of the table.
struct Minute {
    phase: String,
    requests: f64,
    refused: f64,
}

/// The first table of the test's output.
pub fn svg(output: &str) -> String {
    let minutes: Vec<_> = output.lines().filter_map(minute).collect();
    let at = |minute: usize| (minute as f64 + 0.5) / minutes.len() as f64;
    let points = |of: fn(&Minute) -> f64| {
        let point = |(number, minute)| (at(number), of(minute) / TOP);
        minutes.iter().enumerate().map(point).collect::<Vec<_>>()
    };
    let levels = LEVELS.map(|requests| level(requests / TOP, &requests.to_string()));
    let curves = [
        curve("answered", "#2980b9", points(|minute| minute.requests)),
        curve("429", "#c0392b", points(|minute| minute.refused)),
    ];
    let title = title("minutes; requests in each, of which the vault takes 24000");
    document(levels.into_iter().chain(phases(&minutes)).chain([title]).chain(curves))
}

/// A row says `| phase minute | gets | pages | 429s | …`.
fn minute(row: &str) -> Option<Minute> {
    let cells: Vec<_> = row.split('|').map(str::trim).collect();
    let [_, when, gets, pages, refused, ..] = cells.as_slice() else { return None };
    let (phase, _) = when.rsplit_once(' ')?;
    let number = |cell: &str| cell.parse::<f64>().ok();
    Some(Minute { phase: phase.to_owned(), requests: number(gets)? + number(pages)?, refused: number(refused)? })
}

fn phases(minutes: &[Minute]) -> Vec<String> {
    let mut begun = 0;
    let mut drawn = Vec::new();
    for phase in minutes.chunk_by(|one, next| one.phase == next.phase) {
        let part = |at: f64| (begun as f64 + at) / minutes.len() as f64;
        drawn.push(border(part(0.0)));
        drawn.push(mark(part(phase.len() as f64 / 2.0), &phase[0].phase));
        begun += phase.len();
    }
    drawn
}
