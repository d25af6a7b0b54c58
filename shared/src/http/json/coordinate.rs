//! Network coordinates.

use serde::{Deserialize, Serialize, Serializer};
use smol_str::SmolStr;

use super::decode_failed;
use crate::{
    acl::{Level, Resource, Rights},
    http::{Failure, read::Guarded},
    model::{COORDINATE_DIMENSIONS, Coordinate, NodeCoordinate},
};

/// A coordinate alone.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CoordinateRow {
    vec: [Number; COORDINATE_DIMENSIONS],
    error: Number,
    adjustment: Number,
    height: Number,
}

/// A number as Consul writes it: whole ones without a fraction.
#[derive(Clone, Copy, Debug)]
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Whole numbers below 2^53 are exact in both.
        #[expect(clippy::cast_possible_truncation)]
        let whole = self.0 as i64;
        if self.0.fract() == 0.0 && self.0.abs() < 9e15 {
            serializer.serialize_i64(whole)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl From<Coordinate> for CoordinateRow {
    fn from(coordinate: Coordinate) -> Self {
        let Coordinate { position, error, adjustment, height } = coordinate;
        let [error, adjustment, height] = [error, adjustment, height].map(Number);
        Self { vec: position.map(Number), error, adjustment, height }
    }
}

/// A node's coordinate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeCoordinateRow<'a> {
    node: &'a str,
    segment: &'static str,
    coord: CoordinateRow,
}

impl<'a> NodeCoordinateRow<'a> {
    /// The row of a node.
    #[must_use]
    pub fn new(node: &'a str, coordinate: Coordinate) -> Self {
        Self { node, segment: "", coord: coordinate.into() }
    }
}

/// The coordinates of the servers of one datacenter.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DatacenterRow<'a> {
    /// Its name.
    pub datacenter: &'a str,
    /// The pool that the coordinates are of: those of different pools cannot be compared.
    #[serde(rename = "AreaID")]
    pub area: &'static str,
    /// Its servers.
    pub coordinates: Vec<NodeCoordinateRow<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Update {
    #[serde(default)]
    datacenter: SmolStr,
    #[serde(default)]
    node: SmolStr,
    coord: Option<Place>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Place {
    vec: Vec<f64>,
    #[serde(default)]
    error: f64,
    #[serde(default)]
    adjustment: f64,
    #[serde(default)]
    height: f64,
}

/// Reads the body of an update: the datacenter it is for (empty: this one), and the coordinate.
///
/// # Errors
/// 400 where it cannot be read, names no node, or is no coordinate of eight finite dimensions.
pub fn update(body: &[u8]) -> Result<(SmolStr, NodeCoordinate), Failure> {
    let update: Update = serde_json::from_slice(body).map_err(|error| decode_failed(&error))?;
    if update.node.is_empty() {
        return Err(Failure::BadRequest("Must provide Node".into()));
    }
    let place = update.coord.ok_or_else(|| Failure::BadRequest("Must provide Coord".into()))?;
    let dimensions = place.vec.len();
    let position = place.vec.try_into().map_err(|_| {
        Failure::BadRequest(format!("Invalid coordinate: Vec has {dimensions} dimensions, not {COORDINATE_DIMENSIONS}"))
    })?;
    let coordinate = Coordinate { position, error: place.error, adjustment: place.adjustment, height: place.height };
    if !coordinate.is_valid() {
        return Err(Failure::BadRequest("Invalid coordinate: a number in it is not finite".into()));
    }
    Ok((update.datacenter, NodeCoordinate { node: update.node.into(), coordinate }))
}

impl Guarded for NodeCoordinateRow<'_> {
    fn is_visible(&self, rights: &Rights) -> bool {
        rights.allow(Resource::Node, Level::Read, self.node)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn updates_are_read_or_refused_with_a_reason() {
        let good = br#"{"Node": "n", "Segment": "", "Coord": {"Vec": [0,0,0,0,0,0,0,1.5], "Error": 1, "Height": 0.1}}"#;
        let (datacenter, update) = super::update(good).unwrap();
        assert_eq!((datacenter.as_str(), update.node.as_str()), ("", "n"));
        assert_eq!((update.coordinate.position[7], update.coordinate.height), (1.5, 0.1));
        for (body, reason) in [
            ("", "Request decode failed"),
            ("[]", "Request decode failed"),
            (r#"{"Coord": {"Vec": []}}"#, "Must provide Node"),
            (r#"{"Node": "n"}"#, "Must provide Coord"),
            (r#"{"Node": "n", "Coord": {"Vec": [1]}}"#, "1 dimensions, not 8"),
            (r#"{"Node": "n", "Coord": {"Vec": [1e999,0,0,0,0,0,0,0]}}"#, "Request decode failed"),
        ] {
            let failure = super::update(body.as_bytes()).unwrap_err().to_string();
            assert!(failure.contains(reason), "{body}: {failure}");
        }
    }
}
