//! What plots are made of, as SVG: positions are parts of the width and of the height, from the lower left.

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const MARGIN: f64 = 40.0;

fn x(part: f64) -> f64 {
    LEFT + part * (WIDTH - LEFT - RIGHT)
}

fn y(part: f64) -> f64 {
    HEIGHT - MARGIN - part * (HEIGHT - 2.0 * MARGIN)
}

/// A whole plot.
pub fn document(parts: impl IntoIterator<Item = String>) -> String {
    let parts: String = parts.into_iter().collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{parts}</svg>\n"
    )
}

/// A line across, and what it stands for.
pub fn level(at: f64, label: &str) -> String {
    let (left, right, at) = (x(0.0), x(1.0), y(at));
    format!(
        "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}\
         </text>\n",
        left - 8.0,
        at + 4.0
    )
}

/// A line upwards.
pub fn border(at: f64) -> String {
    format!("<path d=\"M{:.1} {}V{}\" stroke=\"#ddd\"/>\n", x(at), y(0.0), y(1.0))
}

/// A label below.
pub fn mark(at: f64, label: &str) -> String {
    format!("<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>\n", x(at), HEIGHT - 20.0)
}

/// What is counted from left to right.
pub fn title(text: &str) -> String {
    format!("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{text}</text>\n", x(0.5), HEIGHT - 5.0)
}

/// A curve with its name at its end.
pub fn curve(name: &str, colour: &str, points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let points: Vec<_> = points.into_iter().map(|(across, up)| (x(across), y(up))).collect();
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
