//! One table: figure, floor, ratio, goal, and whether it is met.

/// What a figure is to reach.
pub enum Goal {
    /// So many times the floor, at most.
    Times(f64),
    /// At most, in the row's unit.
    AtMost(f64),
    /// Exactly, in the row's unit.
    Exactly(f64),
}

pub struct Row<'a> {
    pub what: &'a str,
    pub unit: &'a str,
    /// What it is measured by, in the row's unit.
    pub floor: Option<f64>,
    pub ours: f64,
    pub goal: Goal,
}

pub struct Table;

impl Table {
    pub fn begin() -> Table {
        println!("| what | unit | floor | akvfs | ratio | goal | met |");
        println!("|---|---|---|---|---|---|---|");
        Table
    }

    pub fn row(&mut self, row: &Row<'_>) {
        let Row { what, unit, floor, ours, goal } = row;
        let ratio = floor.map(|floor| ours / floor);
        let (goal, met) = match goal {
            Goal::Times(times) => (format!("≤ {times} ×"), ratio.is_some_and(|ratio| ratio <= *times)),
            Goal::AtMost(most) => (format!("≤ {most}"), ours <= most),
            Goal::Exactly(exactly) => (format!("{exactly}"), (ours - exactly).abs() < f64::EPSILON),
        };
        let floor = floor.map_or("–".to_owned(), figure);
        let ratio = ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        let met = if met { "yes" } else { "**no**" };
        println!("| {what} | {unit} | {floor} | {} | {ratio} | {goal} | {met} |", figure(*ours));
    }
}

/// Three digits that say something.
pub fn figure(value: f64) -> String {
    match value {
        _ if value.fract() == 0.0 => format!("{value}"),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
