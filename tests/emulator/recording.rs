//! Recorded exchanges of Microsoft's clients with the real service, one JSON object a line.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// One exchange.
#[derive(serde::Deserialize)]
pub(crate) struct Exchange {
    pub(crate) src: String,
    pub(crate) file: String,
    pub(crate) seq: u64,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) req: Value,
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
    #[serde(skip)]
    pub(crate) shape: Shape,
}

impl Exchange {
    fn parse(line: &str) -> Exchange {
        #[derive(serde::Deserialize)]
        struct Body {
            body: Shape,
        }
        let exchange: Exchange = serde_json::from_str(line).unwrap();
        let Body { body: shape } = serde_json::from_str(line).unwrap();
        Exchange { shape, ..exchange }
    }

    /// The name of the secret asked for, and what follows it.
    pub(crate) fn target(&self) -> (Option<&str>, Option<&str>) {
        let mut segments = self.path.split('/').skip(2).filter(|segment| !segment.is_empty());
        let name = segments.next().filter(|_| !self.is_restore());
        (name, segments.next())
    }

    pub(crate) fn is_restore(&self) -> bool {
        self.method == "POST" && self.path == "/secrets/restore"
    }

    pub(crate) fn is_list(&self) -> bool {
        self.method == "GET" && self.body["value"].is_array()
    }

    /// `file seq METHOD path`, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{} {} {} {}", self.file, self.seq, self.method, self.path)
    }
}

/// All recordings, each a run of exchanges in order. `None`, loudly, where the file is not here;
/// an error in CI, which has it.
pub(crate) fn recordings() -> Option<Vec<Vec<Exchange>>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/recordings/dev.jsonl");
    let Ok(text) = std::fs::read_to_string(path) else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI has no recordings at {path}");
        eprintln!("SKIPPED: no recordings of the real service at {path}");
        return None;
    };
    let mut recordings: Vec<Vec<Exchange>> = Vec::new();
    for exchange in text.lines().map(Exchange::parse) {
        match recordings.last_mut() {
            Some(run) if (&run[0].src, &run[0].file) == (&exchange.src, &exchange.file) => run.push(exchange),
            _ => recordings.push(vec![exchange]),
        }
    }
    Some(recordings)
}

/// The keys of a JSON text in their order: `{value,id,attributes{enabled,created}}`. Tags are a
/// map, so theirs are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape(pub(crate) String);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeOf).map(Shape)
    }
}

struct ShapeOf;

impl<'de> Visitor<'de> for ShapeOf {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let inner = if key == "tags" {
                map.next_value::<IgnoredAny>()?;
                String::new()
            } else {
                map.next_value::<Shape>()?.0
            };
            keys.push(key + &inner);
        }
        Ok(format!("{{{}}}", keys.join(",")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<String, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok("[]".to_owned())
    }

    fn visit_str<E>(self, _: &str) -> Result<String, E> {
        Ok(String::new())
    }

    fn visit_u64<E>(self, _: u64) -> Result<String, E> {
        Ok(String::new())
    }

    fn visit_i64<E>(self, _: i64) -> Result<String, E> {
        Ok(String::new())
    }

    fn visit_bool<E>(self, _: bool) -> Result<String, E> {
        Ok(String::new())
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok(String::new())
    }
}
