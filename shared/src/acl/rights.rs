//! What a token allows: the rules of all its policies together, ready to be asked.
//!
//! A name is allowed what the rule about exactly that name says; else what the rule of the longest prefix says; else what
//! the default policy says. Of rules of the same name in several policies, one that denies wins, then the one that allows
//! most. Names of nodes, services and queries are compared without regard to letter case, as everywhere in the registry;
//! those of keys and events as they are.

use std::{collections::BTreeMap, ops::Bound};

use ring::digest;
use smol_str::SmolStr;

use super::{Denial, Level, Resource, Rules, rules::add};
use crate::catalog::common_prefix;

/// How many bytes tell one set of rights from all others.
const FINGERPRINT_BYTES: usize = 16;

/// Rules about the names of one kind of thing.
#[derive(Debug, Default)]
struct Names {
    exact: BTreeMap<SmolStr, Level>,
    prefix: BTreeMap<SmolStr, Level>,
    /// Where no rule is about a name.
    otherwise: Level,
    /// The level of every name, where all have the same.
    uniform: Option<Level>,
}

impl Names {
    fn level(&self, name: &str) -> Level {
        self.exact.get(name).copied().unwrap_or_else(|| self.below(name))
    }

    /// What the longest prefix says.
    fn below(&self, name: &str) -> Level {
        // All prefixes of a text stand at or before it, the longer ones later; one that stands between and is none of
        // them shows how much shorter the next can be at most.
        let mut upper = name;
        loop {
            let range = (Bound::Unbounded, Bound::Included(upper));
            let Some((prefix, level)) = self.prefix.range::<str, _>(range).next_back() else { return self.otherwise };
            if name.starts_with(prefix.as_str()) {
                return *level;
            }
            upper = common_prefix(name, prefix);
        }
    }

    /// The least level of all names that begin so.
    fn least(&self, start: &str) -> Level {
        let from = (Bound::Included(start), Bound::Unbounded);
        let within = |map: &BTreeMap<SmolStr, Level>| {
            let below = map.range::<str, _>(from).take_while(|(name, _)| name.starts_with(start));
            below.map(|(_, level)| *level).min()
        };
        let least = [within(&self.exact), within(&self.prefix)].into_iter().flatten().min();
        least.map_or_else(|| self.below(start), |least| least.min(self.below(start)))
    }

    fn finish(&mut self) {
        let default = self.prefix.get("").copied().unwrap_or(self.otherwise);
        let same = |map: &BTreeMap<SmolStr, Level>| map.values().all(|level| *level == default);
        self.uniform = (same(&self.exact) && same(&self.prefix)).then_some(default);
    }
}

/// What somebody may do.
#[derive(Debug)]
pub struct Rights {
    names: [Names; Resource::NAMED.len()],
    single: BTreeMap<Resource, Level>,
    fingerprint: [u8; FINGERPRINT_BYTES],
}

impl Rights {
    /// Those of somebody with these rules, where the default policy allows or denies what no rule is about.
    #[must_use]
    pub fn new<'a>(rules: impl IntoIterator<Item = &'a Rules>, allowed_otherwise: bool) -> Self {
        let otherwise = if allowed_otherwise { Level::Write } else { Level::Deny };
        let mut names: [Names; Resource::NAMED.len()] =
            std::array::from_fn(|_| Names { otherwise, ..Names::default() });
        // Access control itself is never open to all.
        let mut single = BTreeMap::from([(Resource::Keyring, otherwise), (Resource::Operator, otherwise)]);
        let mut said = BTreeMap::new();
        for rules in rules {
            for ((resource, name), level) in &rules.exact {
                add(&mut names[place(*resource)].exact, folded(*resource, name), *level);
            }
            for ((resource, name), level) in &rules.prefix {
                add(&mut names[place(*resource)].prefix, folded(*resource, name), *level);
            }
            for (resource, level) in &rules.single {
                add(&mut said, *resource, *level);
            }
        }
        single.extend(said);
        names.iter_mut().for_each(Names::finish);
        let fingerprint = fingerprint(&names, &single);
        Self { names, single, fingerprint }
    }

    /// Everything is allowed.
    #[must_use]
    pub fn all() -> Self {
        Self::new([&Rules::management()], true)
    }

    /// Nothing is.
    #[must_use]
    pub fn none() -> Self {
        Self::new([], false)
    }

    /// The same for all who have the same rights, and for no others.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }

    fn level(&self, resource: Resource, name: &str) -> Level {
        let Some(place) = Resource::NAMED.iter().position(|named| *named == resource) else {
            return self.single.get(&resource).copied().unwrap_or_default();
        };
        let names = &self.names[place];
        match names.uniform {
            Some(level) => level,
            None => names.level(&folded(resource, name)),
        }
    }

    /// Whether that much is allowed of that name; the name is empty where there is only one thing.
    #[must_use]
    pub fn allow(&self, resource: Resource, level: Level, name: &str) -> bool {
        let has = self.level(resource, name);
        has != Level::Deny && has >= level
    }

    /// Whether that much is allowed of all names that begin so.
    #[must_use]
    pub fn allow_all_below(&self, resource: Resource, level: Level, start: &str) -> bool {
        let has = self.names[place(resource)].least(&folded(resource, start));
        has != Level::Deny && has >= level
    }

    /// The same as [`Rights::allow`], to be asked with `?`.
    ///
    /// # Errors
    /// Names the right that is missing.
    pub fn require(&self, resource: Resource, level: Level, name: &str) -> Result<(), Denial> {
        if self.allow(resource, level, name) { Ok(()) } else { Err(Denial::missing(resource, level, name)) }
    }

    /// Whether a service on a node may be seen.
    #[must_use]
    pub fn sees_instance(&self, node: &str, service: &str) -> bool {
        self.allow(Resource::Node, Level::Read, node) && self.allow(Resource::Service, Level::Read, service)
    }

    /// Whether a check may be seen: of a node, or (with a service) of one on it.
    #[must_use]
    pub fn sees_check(&self, node: &str, service: &str) -> bool {
        self.allow(Resource::Node, Level::Read, node)
            && (service.is_empty() || self.allow(Resource::Service, Level::Read, service))
    }

    /// Whether every node and every service may be seen.
    #[must_use]
    pub fn sees_all_instances(&self) -> bool {
        let sees = |resource| self.names[place(resource)].uniform.is_some_and(|level| level >= Level::Read);
        sees(Resource::Node) && sees(Resource::Service)
    }
}

fn place(resource: Resource) -> usize {
    // What is there once has no names: nothing asks for those.
    Resource::NAMED.iter().position(|named| *named == resource).unwrap_or_default()
}

/// The name as it is compared.
fn folded(resource: Resource, name: &str) -> SmolStr {
    let as_it_is = matches!(resource, Resource::Key | Resource::Event)
        || !name.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii());
    if as_it_is { name.into() } else { name.to_lowercase().into() }
}

fn fingerprint(names: &[Names], single: &BTreeMap<Resource, Level>) -> [u8; FINGERPRINT_BYTES] {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut push = |text: &str, level: Level| {
        context.update(&text.len().to_le_bytes());
        context.update(text.as_bytes());
        context.update(&[level as u8]);
    };
    for names in names {
        // How many there are, so that no rule can look like the end of a list of them.
        push(&format!("{} {}", names.exact.len(), names.prefix.len()), names.otherwise);
        names.exact.iter().for_each(|(name, level)| push(name, *level));
        names.prefix.iter().for_each(|(name, level)| push(name, *level));
    }
    single.iter().for_each(|(resource, level)| push(resource.as_str(), *level));
    let mut fingerprint = [0; FINGERPRINT_BYTES];
    fingerprint.copy_from_slice(&context.finish().as_ref()[..FINGERPRINT_BYTES]);
    fingerprint
}
