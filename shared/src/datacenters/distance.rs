//! The datacenters of the WAN pool by their distance from this node.

use std::collections::BTreeMap;

use crate::{
    gossip::{Member, MemberStatus, Pool},
    model::Coordinate,
    node::tags,
};

/// The names of all datacenters that have a server in the pool that has not left, the nearest first: by the median of the round trips to
/// those of its servers that have said where they are. One of which nothing is known comes last; equals by name.
#[must_use]
pub fn by_distance(pool: &Pool) -> Vec<String> {
    sorted(&pool.members(), &pool.coordinates(), pool.coordinate(), pool.own().tags.get("dc"))
}

fn sorted(
    members: &[Member],
    coordinates: &[(String, Coordinate)],
    here: Coordinate,
    own: Option<&String>,
) -> Vec<String> {
    let coordinates: BTreeMap<&str, &Coordinate> =
        coordinates.iter().map(|(name, coordinate)| (name.as_str(), coordinate)).collect();
    let mut distances_s: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for member in members.iter().filter(|member| member.status != MemberStatus::Left) {
        let Some(datacenter) = tags::datacenter(member) else { continue };
        let distances_s = distances_s.entry(datacenter).or_default();
        distances_s.extend(coordinates.get(member.name.as_str()).map(|there| here.distance_s(there)));
    }
    let mut all: Vec<(f64, &str)> = distances_s
        .into_iter()
        .map(|(name, distances_s)| match own {
            // However far the other servers here are.
            Some(own) if own == name => (0.0, name),
            _ => (median(distances_s), name),
        })
        .collect();
    all.sort_by(|(a_s, a), (b_s, b)| a_s.total_cmp(b_s).then(a.cmp(b)));
    all.into_iter().map(|(_, name)| name.to_owned()).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_nearest_comes_first_and_the_unknown_last() {
        let at = |seconds: f64| {
            let mut coordinate = Coordinate::default();
            coordinate.position[0] = seconds;
            coordinate
        };
        let servers = [
            ("a", "here", Some(0.5)),
            ("b", "far", Some(0.2)),
            ("c", "near", Some(0.01)),
            ("d", "near", Some(0.02)),
            ("e", "near", Some(9.0)),
            ("f", "unknown", None),
            ("g", "also-unknown", None),
        ];
        let member = |(name, datacenter, _): &(&str, &str, Option<f64>)| Member {
            name: format!("{name}.{datacenter}"),
            address: "10.0.0.1:8302".parse().unwrap(),
            tags: tags::own(datacenter, Uuid::nil(), Some((8300, 8302))),
            status: MemberStatus::Alive,
            incarnation: 1,
        };
        let mut members: Vec<Member> = servers.iter().map(member).collect();
        members.push(Member { status: MemberStatus::Left, ..member(&("h", "gone", None)) });
        let coordinates: Vec<(String, Coordinate)> = servers
            .iter()
            .filter_map(|(name, datacenter, seconds)| Some((format!("{name}.{datacenter}"), at((*seconds)?))))
            .collect();
        let own = "here".to_owned();
        let all = sorted(&members, &coordinates, at(0.0), Some(&own));
        assert_eq!(all, ["here", "near", "far", "also-unknown", "unknown"]);
    }
}
