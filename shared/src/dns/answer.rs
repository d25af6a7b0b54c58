//! The answer to a question, from one snapshot. Pure but for the [`Order`], which is drawn from the generator given.
//!
//! An answer says what it rests on, for those who keep it (`ready`). Nothing here knows of packets: size is the matter
//! of `limit`, header flags and EDNS of `handler`.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use hickory_proto::{
    op::{Query, ResponseCode},
    rr::{Name, Record, RecordType},
};
use rand::{Rng, seq::SliceRandom};
use smol_str::SmolStr;

use super::{
    Settings,
    far::{Far, FarSubject},
    question::{self, Subject},
    records, seconds,
};
use crate::{
    acl::{Level, Resource, Rights},
    catalog::{Instance, State},
    model::{Index, Node, SERVER_SERVICE, Status},
    prepared::{self, Asked},
};

/// How many aliases are followed within our own domain.
const MAX_ALIASES: usize = 3;
/// How many name servers are named.
const MAX_NAME_SERVERS: usize = 3;
/// How many targets of services outside our domains are looked up for one answer.
const MAX_OUTSIDE: usize = 8;

/// What is said to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The outcome.
    pub code: ResponseCode,
    /// Whether it is about a name of ours (AA).
    pub authoritative: bool,
    /// Whether asking for recursion makes sense (RA).
    pub recursion_available: bool,
    /// The records asked for.
    pub answers: Vec<Record>,
    /// SOA in negative answers, NS with SOA.
    pub authority: Vec<Record>,
    /// What the client will want next: addresses of targets, meta of nodes.
    pub additional: Vec<Record>,
    /// Names outside our domains that the answer leads to: an alias's target, targets of services.
    pub outside: Vec<Name>,
    /// Nothing is known here: a name outside our domains, or the name of an address that is none of ours.
    pub is_elsewhere: bool,
    /// It is another datacenter's matter: what that is to be asked.
    pub far: Option<Far>,
    /// What must stay the same for the answer to stay true.
    pub basis: Basis,
    /// How many things an order was drawn for; below 2 the answer is always the same.
    pub ordered: usize,
    /// Whether it is for those alone who ask from the same network (RFC 7871).
    pub is_for_asker: bool,
}

/// What an answer rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The instances of the service of that name.
    Service(SmolStr),
    /// The row of the node of that name.
    Node(SmolStr),
    /// Anything in the state, its index included.
    State,
}

/// How the instances of a service are put in order: drawn anew for each answer.
pub(super) struct Order<R> {
    /// What it is drawn from.
    pub random: R,
    /// The one that comes first, counted (and begun again) in the catalog's order; none: it is drawn, too.
    pub first: Option<usize>,
    /// How many records of a service are of use, at least 1: one more than can be said.
    pub most: usize,
    /// From where is asked, as the question itself says (RFC 7871): the nearest may come first.
    pub asker: Option<IpAddr>,
    /// What whoever asks may see; none: everything.
    pub rights: Option<Arc<Rights>>,
}

impl<R: Rng> Order<R> {
    pub fn new(random: R, first: Option<usize>) -> Self {
        Self { random, first, most: usize::MAX, asker: None, rights: None }
    }

    fn sees(&self, instance: &Instance) -> bool {
        self.rights.as_ref().is_none_or(|rights| rights.sees_instance(&instance.node.name, &instance.service.name))
    }

    fn sees_node(&self, node: &Node) -> bool {
        self.rights.as_ref().is_none_or(|rights| rights.allow(Resource::Node, Level::Read, &node.name))
    }

    fn arrange<T>(&mut self, things: &mut [T]) {
        match self.first {
            Some(first) if !things.is_empty() => {
                things.swap(0, first % things.len());
                things[1..].shuffle(&mut self.random);
            }
            _ => things.shuffle(&mut self.random),
        }
    }
}

impl Answer {
    fn with(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: true,
            recursion_available: false,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            outside: Vec::new(),
            is_elsewhere: false,
            far: None,
            basis: Basis::State,
            ordered: 0,
            is_for_asker: false,
        }
    }

    pub(super) fn not_ours(code: ResponseCode) -> Self {
        Self { authoritative: false, ..Self::with(code) }
    }
}

/// Answers a question for `name` and `record_type`.
#[must_use]
pub fn answer(
    state: &State,
    settings: &Settings,
    name: &Name,
    record_type: RecordType,
    random: &mut impl Rng,
) -> Answer {
    answer_in(state, settings, name, record_type, &mut Order::new(random, None))
}

/// As [`answer`], with instances in that order.
pub(super) fn answer_in(
    state: &State,
    settings: &Settings,
    name: &Name,
    record_type: RecordType,
    order: &mut Order<impl Rng>,
) -> Answer {
    if matches!(record_type, RecordType::AXFR | RecordType::IXFR) {
        return Answer::with(ResponseCode::NotImp);
    }
    find(state, settings, name, record_type, MAX_ALIASES, order)
}

/// Answers for a prepared query of that name, whatever datacenter the question names.
pub(super) fn answer_query(
    state: &State,
    settings: &Settings,
    asked: &Query,
    query: &str,
    order: &mut Order<impl Rng>,
) -> Answer {
    let domain = question::parse(&asked.name, asked.query_type, settings).domain;
    let (name, record_type) = (&asked.name, asked.query_type);
    Search { state, settings, name, record_type, domain, aliases: MAX_ALIASES, order }.query(query)
}

fn find(
    state: &State,
    settings: &Settings,
    name: &Name,
    record_type: RecordType,
    aliases: usize,
    order: &mut Order<impl Rng>,
) -> Answer {
    let question = question::parse(name, record_type, settings);
    let mut search = Search { state, settings, name, record_type, domain: question.domain, aliases, order };
    match question.subject {
        Subject::Elsewhere => Answer { is_elsewhere: true, ..Answer::not_ours(ResponseCode::Refused) },
        Subject::Reverse(ip) => search.reverse(ip),
        _ if record_type == RecordType::SOA => search.start_of_authority(),
        _ if record_type == RecordType::NS => search.name_servers(),
        Subject::Apex | Subject::Unknown => search.no_such_name(),
        Subject::NoAddress => Answer::with(ResponseCode::NoError),
        Subject::Address(ip) => search.address(ip),
        Subject::Service { datacenter: Some(other), name, .. } if is_other(&other, settings) => {
            search.far(other, FarSubject::Service(name))
        }
        Subject::Node { datacenter: Some(other), name } if is_other(&other, settings) => {
            search.far(other, FarSubject::Node(name))
        }
        Subject::Query { datacenter: Some(other), name } if is_other(&other, settings) => {
            search.far(other, FarSubject::Query(name))
        }
        // Before the first word of the servers, nobody knows whether the name exists.
        _ if state.index() == Index(0) => Answer::with(ResponseCode::ServFail),
        Subject::Service { name, tag, .. } => search.service(&name, tag.as_deref()),
        Subject::Node { name, .. } => search.node(&name),
        Subject::Query { name, .. } => search.query(&name),
    }
}

fn is_other(datacenter: &str, settings: &Settings) -> bool {
    !datacenter.eq_ignore_ascii_case(&settings.datacenter)
}

struct Search<'a, R> {
    state: &'a State,
    settings: &'a Settings,
    /// As asked: the owner of the records.
    name: &'a Name,
    record_type: RecordType,
    domain: &'a Name,
    aliases: usize,
    order: &'a mut Order<R>,
}

impl<'a, R: Rng> Search<'a, R> {
    fn negative(&self, code: ResponseCode) -> Answer {
        let authority = vec![records::authority(self.settings, self.domain, self.state.index().0)];
        Answer { authority, ..Answer::with(code) }
    }

    fn no_such_name(&self) -> Answer {
        self.negative(ResponseCode::NXDomain)
    }

    /// Until that datacenter has said something else, there is no such name.
    fn far(&self, datacenter: SmolStr, subject: FarSubject) -> Answer {
        Answer { far: Some(Far { datacenter, subject }), ..self.no_such_name() }
    }

    /// The answer with these records; where there are none, the name exists but not with that type.
    fn found(&self, answers: Vec<Record>, additional: Vec<Record>) -> Answer {
        if answers.is_empty() && additional.is_empty() {
            return self.negative(ResponseCode::NoError);
        }
        Answer { answers, additional, ..Answer::with(ResponseCode::NoError) }
    }

    fn node_ttl(&self) -> u32 {
        seconds(&self.settings.node_ttl)
    }

    fn service(&mut self, service: &str, tag: Option<&str>) -> Answer {
        let worst = if self.settings.only_passing { Status::Passing } else { Status::Warning };
        let mut instances: Vec<&'a Arc<Instance>> = self.state.served(service, worst, self.settings.protection);
        instances.retain(|instance| tag.is_none_or(|tag| instance.has_tag(tag)) && self.order.sees(instance));
        if instances.is_empty() {
            return self.no_such_name();
        }
        self.order.arrange(&mut instances);
        let found = self.instances(&instances, self.settings.service_ttl(service));
        let ordered = instances.len().max(found.ordered);
        // A negative answer has the state's index in it; where an alias leads is not to be seen in these instances.
        let is_own = found.authority.is_empty() && !found.answers.iter().any(|r| r.record_type() == RecordType::CNAME);
        let basis = if is_own { Basis::Service(service.into()) } else { Basis::State };
        Answer { ordered, basis, ..found }
    }

    /// A prepared query's answer. What it rests on is more than one thing: it holds for one snapshot.
    fn query(&mut self, name: &str) -> Answer {
        let Ok(Some(query)) = self.state.find_query(name) else { return self.no_such_name() };
        let asked = Asked {
            own_node: &self.settings.node_name,
            asker: self.order.asker,
            protection: self.settings.protection,
            rights: self.order.rights.as_deref(),
            ..Asked::default()
        };
        let instances = prepared::execute(self.state, &query, &asked, &mut self.order.random);
        let is_for_asker = prepared::depends_on_asker(&query);
        if instances.is_empty() {
            // Others may have some, where the query says so.
            let far = query.service.failover.names_others();
            let far = far.then(|| Far { datacenter: SmolStr::default(), subject: FarSubject::Query(name.into()) });
            return Answer { is_for_asker, far, ..self.no_such_name() };
        }
        let ttl = prepared::dns_ttl(&query).as_ref().map(seconds);
        let ttl = ttl.unwrap_or_else(|| self.settings.service_ttl(&query.service.service));
        let found = self.instances(&instances, ttl);
        Answer { ordered: instances.len().max(found.ordered), is_for_asker, ..found }
    }

    fn instances(&mut self, instances: &[&Arc<Instance>], ttl: u32) -> Answer {
        if self.record_type == RecordType::SRV { self.servers(instances, ttl) } else { self.addresses(instances, ttl) }
    }

    fn addresses(&mut self, instances: &[&Arc<Instance>], ttl: u32) -> Answer {
        let (mut seen, mut answers, mut alias) = (HashSet::new(), Vec::new(), None);
        for instance in instances {
            match instance.address().parse::<IpAddr>() {
                Ok(ip) if records::fits(self.record_type, ip) && seen.insert(ip) => {
                    answers.push(records::address(self.name.clone(), ttl, ip));
                    if answers.len() == self.settings.a_record_limit || answers.len() >= self.order.most {
                        break;
                    }
                }
                Ok(_) => {}
                Err(_) => alias = alias.or_else(|| records::host_name(instance.address())),
            }
        }
        // An alias may have no other records beside it (RFC 1034, section 3.6.2): only where there is no address.
        match alias {
            Some(target) if answers.is_empty() => self.alias(target, ttl),
            _ => self.found(answers, Vec::new()),
        }
    }

    /// A CNAME and, where it leads to a name of ours, what is there; a name outside is for the recursors.
    fn alias(&mut self, target: Name, ttl: u32) -> Answer {
        let mut answers = vec![records::alias(self.name.clone(), ttl, target.clone())];
        let (mut outside, mut ordered) = (Vec::new(), 0);
        if self.aliases > 0 && self.record_type != RecordType::CNAME {
            let next = find(self.state, self.settings, &target, self.record_type, self.aliases - 1, self.order);
            answers.extend(next.answers);
            ordered = next.ordered;
            outside = if next.is_elsewhere { vec![target] } else { next.outside };
        }
        Answer { outside, ordered, ..self.found(answers, Vec::new()) }
    }

    fn servers(&self, instances: &[&Arc<Instance>], ttl: u32) -> Answer {
        let (mut answers, mut additional) = (Vec::new(), Vec::new());
        let (mut seen, mut targets, mut nodes) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut outside = Vec::new();
        for instance in instances {
            if answers.len() >= self.order.most {
                break;
            }
            let Some((target, ip)) = self.target(instance) else { continue };
            if !seen.insert((target.clone(), instance.service.port)) {
                continue;
            }
            if let Some(ip) = ip.filter(|_| targets.insert(target.clone())) {
                additional.push(records::address(target.clone(), ttl, ip));
            }
            if ip.is_none() && outside.len() < MAX_OUTSIDE && targets.insert(target.clone()) && self.is_outside(&target)
            {
                outside.push(target.clone());
            }
            answers.push(records::server(self.name.clone(), ttl, instance, target));
            let tell_meta = self.settings.node_meta_txt && nodes.insert(&instance.node.name);
            let named = || records::node_name(&instance.node, self.settings, self.domain);
            if let Some(name) = tell_meta.then(named).flatten() {
                additional.extend(records::meta(&name, ttl, &instance.node));
            }
        }
        Answer { outside, ..self.found(answers, additional) }
    }

    fn is_outside(&self, name: &Name) -> bool {
        question::parse(name, RecordType::A, self.settings).subject == Subject::Elsewhere
    }

    /// Where an SRV record points: the node's name while the instance is at its node's address, a name made of the
    /// address otherwise, a host name as it is; and the address, where there is one.
    fn target(&self, instance: &Instance) -> Option<(Name, Option<IpAddr>)> {
        let Ok(ip) = instance.address().parse::<IpAddr>() else {
            return Some((records::host_name(instance.address())?, None));
        };
        let at_node = instance.service.address.is_empty() || instance.service.address == instance.node.address;
        let of_node = at_node.then(|| records::node_name(&instance.node, self.settings, self.domain)).flatten();
        let name = of_node.or_else(|| records::address_name(ip, self.settings, self.domain))?;
        Some((name, Some(ip)))
    }

    fn node(&mut self, node: &str) -> Answer {
        let node = self.state.node(node).filter(|node| self.order.sees_node(node));
        let Some(node) = node else { return self.no_such_name() };
        let is_own = node.address.parse::<IpAddr>().is_ok();
        let ttl = self.node_ttl();
        let wants_text = matches!(self.record_type, RecordType::TXT | RecordType::ANY);
        let mut answer = match node.address.parse::<IpAddr>() {
            _ if self.record_type == RecordType::TXT => Answer::with(ResponseCode::NoError),
            Ok(ip) if records::fits(self.record_type, ip) => {
                let answers = vec![records::address(self.name.clone(), ttl, ip)];
                Answer { answers, ..Answer::with(ResponseCode::NoError) }
            }
            Ok(_) => Answer::with(ResponseCode::NoError),
            Err(_) => match records::host_name(&node.address) {
                Some(target) => self.alias(target, ttl),
                None => Answer::with(ResponseCode::NoError),
            },
        };
        let meta = records::meta(self.name, ttl, node);
        if wants_text {
            answer.answers.extend(meta);
        } else if self.settings.node_meta_txt {
            answer.additional.extend(meta);
        }
        let (ordered, outside) = (answer.ordered, answer.outside);
        let found = self.found(answer.answers, answer.additional);
        // As in `service`.
        let is_own = is_own && found.authority.is_empty();
        let basis = if is_own { Basis::Node(node.name.as_str().into()) } else { Basis::State };
        Answer { outside, ordered, basis, ..found }
    }

    fn address(&self, ip: IpAddr) -> Answer {
        let fits = records::fits(self.record_type, ip);
        let answers = fits.then(|| records::address(self.name.clone(), self.node_ttl(), ip));
        self.found(answers.into_iter().collect(), Vec::new())
    }

    /// The node at an address or, where there is none, the service.
    fn reverse(&self, ip: Option<IpAddr>) -> Answer {
        let asked = matches!(self.record_type, RecordType::PTR | RecordType::ANY);
        let at = |address: &str| ip.is_some() && address.parse().ok() == ip;
        let node = || {
            let node: &Arc<Node> = self.state.nodes().find(|node| at(&node.address) && self.order.sees_node(node))?;
            records::node_name(node, self.settings, self.domain)
        };
        let service = || {
            let mut all = self.state.all_instances();
            let instance = all.find(|instance| at(&instance.service.address) && self.order.sees(instance))?;
            records::service_name(&instance.service.name, self.settings, self.domain)
        };
        match asked.then(|| node().or_else(service)).flatten() {
            Some(target) => {
                let answers = vec![records::pointer(self.name.clone(), self.node_ttl(), target)];
                Answer { answers, ..Answer::with(ResponseCode::NoError) }
            }
            // Someone else's address: what a recursor would be asked.
            None => {
                Answer { recursion_available: true, is_elsewhere: true, ..Answer::not_ours(ResponseCode::ServFail) }
            }
        }
    }

    fn start_of_authority(&mut self) -> Answer {
        let servers = self.name_servers();
        let answers = vec![records::authority(self.settings, self.domain, self.state.index().0)];
        if servers.answers.is_empty() {
            return self.found(answers, Vec::new());
        }
        Answer { authority: servers.answers, ordered: servers.ordered, ..self.found(answers, servers.additional) }
    }

    fn name_servers(&mut self) -> Answer {
        let order = &*self.order;
        let alive = |instance: &&Arc<Instance>| instance.status() != Status::Critical && order.sees(instance);
        let mut servers: Vec<&'a Arc<Instance>> = self.state.instances(SERVER_SERVICE).filter(alive).collect();
        self.order.arrange(&mut servers);
        let ordered = servers.len();
        let (ttl, mut answers, mut glue) = (self.node_ttl(), Vec::new(), Vec::new());
        let named = servers.into_iter().filter_map(|server| {
            let ip = server.address().parse::<IpAddr>().ok()?;
            Some((records::node_name(&server.node, self.settings, self.domain)?, ip))
        });
        for (target, ip) in named.take(MAX_NAME_SERVERS) {
            glue.push(records::address(target.clone(), ttl, ip));
            answers.push(records::name_server(self.domain, ttl, target));
        }
        Answer { ordered, ..self.found(answers, glue) }
    }
}
