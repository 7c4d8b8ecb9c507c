//! The curve of growth, as SVG: both axes logarithmic, so that what is linear in the number of secrets is
//! level here, being shown for each.

use crate::growth::Grown;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const MARGIN: f64 = 40.0;
/// Decades that the axes show: secrets, and microseconds.
const SECRETS: (f64, f64) = (2.0, 5.0);
const MICROS: (f64, f64) = (0.0, 4.0);

fn x(secrets: f64) -> f64 {
    LEFT + (secrets.log10() - SECRETS.0) / (SECRETS.1 - SECRETS.0) * (WIDTH - LEFT - RIGHT)
}

fn y(micros: f64) -> f64 {
    HEIGHT - MARGIN - (micros.log10() - MICROS.0) / (MICROS.1 - MICROS.0) * (HEIGHT - 2.0 * MARGIN)
}

/// A name, a colour, and what is drawn.
type Curve = (&'static str, &'static str, fn(&Grown) -> f64);

pub fn svg(grown: &[Grown]) -> String {
    let curves: [Curve; 4] = [
        ("cold ls, each", "#c0392b", |grown| grown.listed),
        ("ls again, each", "#e67e22", |grown| grown.listed_again),
        ("cold read", "#2980b9", |grown| grown.cold_read),
        ("cached read", "#27ae60", |grown| grown.cached_read),
    ];
    let curves: String = curves.into_iter().map(|(name, colour, of)| curve(grown, name, colour, of)).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}{curves}</svg>\n",
        axes()
    )
}

fn axes() -> String {
    let decades = |(from, to): (f64, f64)| (from as i32..=to as i32).map(|power| 10_f64.powi(power));
    let (left, right) = (x(10_f64.powf(SECRETS.0)), x(10_f64.powf(SECRETS.1)));
    let lines = decades(MICROS).map(|micros| {
        let at = y(micros);
        format!(
            "<path d=\"M{left} {at}H{right}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{micros} µs\
             </text>\n",
            left - 8.0,
            at + 4.0
        )
    });
    let marks = decades(SECRETS).map(|secrets| {
        format!("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{secrets}</text>\n", x(secrets), HEIGHT - 20.0)
    });
    let title =
        format!("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">secrets</text>\n", (left + right) / 2.0, HEIGHT - 5.0);
    lines.chain(marks).collect::<String>() + &title
}

fn curve(grown: &[Grown], name: &str, colour: &str, of: impl Fn(&Grown) -> f64) -> String {
    let points: Vec<_> = grown.iter().map(|grown| (x(grown.secrets as f64), y(of(grown)))).collect();
    let line: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let (x, y) = points.last().copied().unwrap_or_default();
    format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{}\" y=\"{:.1}\" \
         fill=\"{colour}\">{name}</text>\n",
        line.join(" "),
        x + 8.0,
        y + 4.0
    )
}
