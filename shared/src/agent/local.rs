//! The local table: the services and checks this agent wants in the registry, and what their checks say now.
//!
//! Plain data under one short lock; does no I/O and reads no clock. Each change marks its *group* (a service with its
//! checks, or the node with its own) as dirty; `difference` compares groups with a view, `sync` writes what differs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use smol_str::SmolStr;
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use super::{
    AgentError,
    check::{self, Kind, ScriptChecks},
    definition::{CheckRegistration, ServiceDefinition},
    duration,
};
use crate::{
    acl::Credential,
    catalog::State,
    model::{Check, CheckDefinition, CheckId, Key, Node, Origin, SERF_HEALTH, Service, ServiceId, Status},
};

/// Services, and checks, that one agent keeps at most.
pub const LOCAL_ROWS_MAX: usize = 65_536;
/// Bytes of a check's output kept where its definition says nothing, as in Consul.
pub const OUTPUT_MAX: usize = 4096;

/// What this agent wants registered.
pub(super) struct Local {
    pub(super) node: Node,
    pub(super) is_server: bool,
    pub(super) services: BTreeMap<Key, Arc<Service>>,
    pub(super) checks: BTreeMap<Key, LocalCheck>,
    /// Each check's group and ID, to find a group's checks.
    bound: BTreeSet<(Key, Key)>,
    /// Deregistered before adoption: not to be adopted.
    forgotten: BTreeSet<(Key, Key)>,
    pub(super) adopted: bool,
    /// Services and checks taken up from a state that may be out of date: gone if the registry does not have them.
    provisional: BTreeSet<(Key, Key)>,
    /// Services registered here since the registry was last given their tags: these count, also where others may
    /// change them afterwards.
    own_tags: BTreeSet<Key>,
    /// By whose right each group is written, where somebody has shown a token; the agent's own counts besides.
    tokens: BTreeMap<Key, Credential>,
    dirty: BTreeSet<Key>,
    to_start: BTreeSet<Key>,
    last_run: u64,
    output_delay: Duration,
    script_checks: ScriptChecks,
}

/// A check with what is known only here.
pub(super) struct LocalCheck {
    pub(super) row: Arc<Check>,
    /// None where it cannot be run here.
    pub(super) kind: Option<Kind>,
    /// Results of another run than this are late and dropped.
    pub(super) run: u64,
    pub(super) runner: Option<DropGuard>,
    /// Whether its status was given or found out here, rather than assumed.
    pub(super) known: bool,
    /// From when on a differing output alone is worth a write.
    pub(super) output_due: Option<Instant>,
    critical_since: Option<Instant>,
    ttl_ends: Option<Instant>,
    successes: u32,
    failures: u32,
}

impl LocalCheck {
    /// What it runs; nothing where it was registered without.
    pub(super) fn definition(&self) -> Option<&CheckDefinition> {
        self.row.runs.as_deref()
    }

    /// When the service is to be deregistered, as things are.
    fn reap_at(&self) -> Option<Instant> {
        let after = self.definition()?.deregister_critical_service_after;
        let bound = !after.is_zero() && !self.row.service_id.is_empty();
        self.critical_since.filter(|_| bound).and_then(|since| since.checked_add(after))
    }

    fn set(&mut self, status: Status, output: SmolStr, now: Instant) {
        if status != Status::Critical {
            self.critical_since = None;
        } else if self.critical_since.is_none() {
            self.critical_since = Some(now);
        }
        let row = Arc::make_mut(&mut self.row);
        row.status = status;
        row.output = output;
        self.known = true;
    }
}

/// The group of a check: its service's, or the node's (the empty key).
pub(super) fn group_of(check: &Check) -> Key {
    check.service_id.key()
}

/// What the passing of time has done.
pub(super) struct Ticked {
    /// Services deregistered because a check was critical for too long.
    pub(super) reaped: Vec<ServiceId>,
    /// When to look again.
    pub(super) next: Option<Instant>,
}

impl Local {
    pub(super) fn new(node: Node, is_server: bool, output_delay: Duration, script_checks: ScriptChecks) -> Self {
        Self {
            node,
            is_server,
            services: BTreeMap::new(),
            checks: BTreeMap::new(),
            bound: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            adopted: false,
            provisional: BTreeSet::new(),
            own_tags: BTreeSet::new(),
            tokens: BTreeMap::new(),
            dirty: BTreeSet::new(),
            to_start: BTreeSet::new(),
            last_run: 0,
            output_delay,
            script_checks,
        }
    }

    /// A group is written by this right from now on.
    pub(super) fn set_token(&mut self, group: &Key, by: Credential) {
        if by.is_none() {
            self.tokens.remove(group);
        } else {
            self.tokens.insert(group.clone(), by);
        }
    }

    /// The same, where it has none.
    pub(super) fn offer_token(&mut self, group: &Key, by: Credential) {
        if !by.is_none() {
            self.tokens.entry(group.clone()).or_insert(by);
        }
    }

    /// By whose right a group is written.
    pub(super) fn token(&self, group: &Key) -> Credential {
        self.tokens.get(group).cloned().unwrap_or_default()
    }

    /// How many groups were changed here since the last [`Local::take_dirty`].
    pub(super) fn dirty_count(&self) -> usize {
        self.dirty.len()
    }

    /// The groups changed here since the last call.
    pub(super) fn take_dirty(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.dirty)
    }

    /// The checks that need a (new) runner.
    pub(super) fn take_to_start(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.to_start)
    }

    /// Puts a service with its checks. The state of checks that are there already is kept.
    pub(super) fn put_service(
        &mut self,
        definition: &ServiceDefinition,
        origin: Origin,
        replace_checks: bool,
        now: Instant,
    ) -> Result<(), AgentError> {
        let key = definition.service.id.key();
        let new = usize::from(!self.services.contains_key(&key));
        let new_checks = definition.checks.iter().filter(|check| !self.checks.contains_key(&check.id.key())).count();
        self.refuse_too_many(new, new_checks)?;
        let service = Service { node: self.node.name.clone(), origin, ..definition.service.clone() };
        if origin == Origin::File {
            self.set_token(&key, definition.token.clone());
        }
        let before = self.services.insert(key.clone(), Arc::new(service));
        // A file that is read again says nothing new.
        let said = origin == Origin::Agent || before.is_some_and(|before| before.tags != definition.service.tags);
        if definition.service.enable_tag_override && said {
            self.own_tags.insert(key.clone());
        }
        self.provisional.remove(&(key.clone(), Key::default()));
        self.dirty.insert(key.clone());
        if replace_checks {
            let kept: BTreeSet<Key> = definition.checks.iter().map(|check| check.id.key()).collect();
            self.remove_checks_of(&key, |id| !kept.contains(id));
        }
        for check in &definition.checks {
            self.insert_check(check, origin, true, now);
        }
        self.rename_checks_of(&key);
        Ok(())
    }

    /// Puts a check.
    pub(super) fn put_check(
        &mut self,
        registration: &CheckRegistration,
        origin: Origin,
        now: Instant,
    ) -> Result<(), AgentError> {
        let about = &registration.service_id;
        if !about.is_empty() && !self.services.contains_key(&about.key()) {
            return Err(AgentError::UnknownService(about.clone()));
        }
        self.refuse_too_many(0, usize::from(!self.checks.contains_key(&registration.id.key())))?;
        self.insert_check(registration, origin, registration.status.is_none(), now);
        Ok(())
    }

    fn refuse_too_many(&self, services: usize, checks: usize) -> Result<(), AgentError> {
        let fits = self.services.len() + services <= LOCAL_ROWS_MAX && self.checks.len() + checks <= LOCAL_ROWS_MAX;
        if fits { Ok(()) } else { Err(AgentError::TooMany(LOCAL_ROWS_MAX)) }
    }

    fn insert_check(&mut self, registration: &CheckRegistration, origin: Origin, keep_state: bool, now: Instant) {
        let mut row = self.row(registration, origin);
        let key = row.id.key();
        self.provisional.remove(&(Key::default(), key.clone()));
        self.dirty.insert(group_of(&row));
        let mut known = registration.status.is_some();
        if let Some(old) = self.checks.get_mut(&key) {
            let (was, is) = (group_of(&old.row), group_of(&row));
            self.bound.remove(&(was.clone(), key.clone()));
            self.bound.insert((is, key.clone()));
            self.dirty.insert(was);
            if keep_state {
                row.status = old.row.status;
                row.output = old.row.output.clone();
                known = old.known;
            }
            if old.row.runs == row.runs && old.kind.is_some() {
                let (status, output) = (row.status, row.output.clone());
                old.row = Arc::new(row);
                old.set(status, output, now);
                old.known = known;
                return;
            }
        }
        let kind = check::kind(&registration.definition, origin, self.script_checks).ok();
        self.start(row, kind, known, now);
    }

    fn row(&self, registration: &CheckRegistration, origin: Origin) -> Check {
        let shown = |span: Duration| match (registration.nested, span.is_zero()) {
            (true, true) => SmolStr::default(),
            _ => duration::show(span).into(),
        };
        let definition = &registration.definition;
        let service = self.services.get(&registration.service_id.key());
        Check {
            node: self.node.name.clone(),
            id: registration.id.clone(),
            name: registration.name.clone(),
            status: registration.status.unwrap_or_default(),
            notes: registration.notes.clone(),
            service_id: registration.service_id.clone(),
            service_name: service.map(|service| service.name.clone()).unwrap_or_default(),
            kind: check::kind_name(definition).into(),
            interval: shown(definition.interval),
            timeout: shown(definition.timeout),
            runs: Some(Box::new(definition.clone())),
            origin,
            ..Check::default()
        }
    }

    fn start(&mut self, row: Check, kind: Option<Kind>, known: bool, now: Instant) {
        self.last_run += 1;
        let key = row.id.key();
        let ttl = row.runs.as_ref().filter(|_| kind == Some(Kind::Ttl)).map(|runs| runs.ttl);
        let check = LocalCheck {
            critical_since: (row.status == Status::Critical).then_some(now),
            row: Arc::new(row),
            kind,
            run: self.last_run,
            runner: None,
            known,
            output_due: None,
            ttl_ends: ttl.and_then(|ttl| now.checked_add(ttl)),
            successes: 0,
            failures: 0,
        };
        if kind.is_some_and(|kind| kind != Kind::Ttl) {
            self.to_start.insert(key.clone());
        }
        self.bound.insert((group_of(&check.row), key.clone()));
        self.checks.insert(key, check);
    }

    /// Puts a check that nothing runs and that has its status already.
    pub(super) fn put_told(&mut self, row: Check, now: Instant) {
        self.dirty.insert(group_of(&row));
        self.start(row, None, true, now);
    }

    /// Whether the registry has yet to be given this service's tags, whoever may change them afterwards.
    pub(super) fn gives_tags(&self, group: &Key) -> bool {
        self.own_tags.contains(group)
    }

    /// The registry has what this group has here.
    pub(super) fn told(&mut self, group: &Key) {
        self.own_tags.remove(group);
    }

    /// The checks of a group.
    pub(super) fn checks_of<'a>(&'a self, group: &'a Key) -> impl Iterator<Item = &'a LocalCheck> {
        let bound = self.bound.range((group.clone(), Key::default())..).take_while(move |(about, _)| about == group);
        bound.filter_map(|(_, check)| self.checks.get(check))
    }

    /// A service's checks carry its name.
    fn rename_checks_of(&mut self, service: &Key) {
        let Some(name) = self.services.get(service).map(|service| service.name.clone()) else { return };
        let stale = self.checks_of(service).filter(|check| check.row.service_name != name);
        let stale: Vec<Key> = stale.map(|check| check.row.id.key()).collect();
        for check in stale {
            if let Some(check) = self.checks.get_mut(&check) {
                Arc::make_mut(&mut check.row).service_name = name.clone();
            }
        }
    }

    fn remove_checks_of(&mut self, group: &Key, gone: impl Fn(&Key) -> bool) {
        let checks: Vec<Key> = self.checks_of(group).map(|check| check.row.id.key()).filter(gone).collect();
        checks.iter().for_each(|check| _ = self.take_out(check));
    }

    /// Takes one check out, which ends its runner, and says which group it was in.
    fn take_out(&mut self, key: &Key) -> Option<Key> {
        let group = self.checks.remove(key).map(|check| group_of(&check.row))?;
        self.bound.remove(&(group.clone(), key.clone()));
        self.dirty.insert(group.clone());
        Some(group)
    }

    /// Takes a service and its checks out; one that is not there is no error.
    pub(super) fn remove_service(&mut self, id: &ServiceId) {
        let key = id.key();
        self.services.remove(&key);
        self.own_tags.remove(&key);
        self.remove_checks_of(&key, |_| true);
        if !self.adopted && self.forgotten.len() < LOCAL_ROWS_MAX {
            self.forgotten.insert((key.clone(), Key::default()));
        }
        self.dirty.insert(key);
    }

    /// Takes a check out and says which group it was in; one that is not there is no error.
    pub(super) fn remove_check(&mut self, id: &CheckId, state: &State) -> Key {
        let key = id.key();
        let known = self.take_out(&key);
        let group = known.or_else(|| state.node_check(&self.node.name, id).map(|check| group_of(check)));
        if !self.adopted && self.forgotten.len() < LOCAL_ROWS_MAX {
            self.forgotten.insert((Key::default(), key));
        }
        let group = group.unwrap_or_default();
        self.dirty.insert(group.clone());
        group
    }

    /// Takes a report of a TTL check.
    pub(super) fn report(
        &mut self,
        id: &CheckId,
        status: Status,
        output: &str,
        now: Instant,
    ) -> Result<(), AgentError> {
        let check = self.checks.get_mut(&id.key()).filter(|check| check.kind == Some(Kind::Ttl));
        let Some(check) = check else { return Err(AgentError::NoTtl(id.clone())) };
        let ttl = check.definition().map(|definition| definition.ttl).unwrap_or_default();
        check.ttl_ends = now.checked_add(ttl);
        self.settle(&id.key(), status, output, now);
        Ok(())
    }

    /// Takes the result of a run, counting successes and failures in a row as the definition asks. Whether the registry
    /// is to hear of it now.
    pub(super) fn record(&mut self, key: &Key, run: u64, found: Status, output: &str, now: Instant) -> bool {
        let Some(check) = self.checks.get_mut(key).filter(|check| check.run == run) else { return false };
        let Some(definition) = check.row.runs.as_deref() else { return false };
        let (passing_after, critical_after) = (definition.success_before_passing, definition.failures_before_critical);
        let warning_after = match definition.failures_before_warning {
            0 => critical_after,
            failures => failures,
        };
        let status = if found == Status::Critical {
            (check.successes, check.failures) = (0, check.failures.saturating_add(1));
            match check.failures {
                failures if failures >= critical_after => Status::Critical,
                failures if failures >= warning_after => Status::Warning,
                _ => check.row.status,
            }
        } else {
            (check.successes, check.failures) = (check.successes.saturating_add(1), 0);
            if check.successes >= passing_after { found } else { check.row.status }
        };
        self.settle(key, status, output, now)
    }

    fn settle(&mut self, key: &Key, status: Status, output: &str, now: Instant) -> bool {
        let Some(check) = self.checks.get_mut(key) else { return false };
        let limit = check::output::limit(check.definition());
        let limit = (0..=limit.min(output.len())).rev().find(|end| output.is_char_boundary(*end)).unwrap_or(0);
        let output = &output[..limit];
        let (new_status, new_output) = (status != check.row.status, output != check.row.output);
        if !new_status && !new_output && check.known {
            return false;
        }
        check.set(status, output.into(), now);
        if new_output && check.output_due.is_none_or(|due| due <= now) {
            check.output_due = now.checked_add(self.output_delay);
        }
        let tells = new_status || (new_output && self.output_delay.is_zero());
        if tells {
            self.dirty.insert(group_of(&check.row));
        }
        tells
    }

    /// Does what is due: TTLs that ended, services critical for too long.
    pub(super) fn tick(&mut self, now: Instant) -> Ticked {
        let ended: Vec<Key> = self.due(now, |check| check.ttl_ends).map(|(key, _)| key.clone()).collect();
        for key in ended {
            if let Some(check) = self.checks.get_mut(&key) {
                check.ttl_ends = None;
                let output = match check.row.output.as_str() {
                    "" => "TTL expired".to_string(),
                    output => format!("TTL expired (it last said: {output})"),
                };
                self.settle(&key, Status::Critical, &output, now);
            }
        }
        let reaped: BTreeSet<ServiceId> =
            self.due(now, LocalCheck::reap_at).map(|(_, check)| check.row.service_id.clone()).collect();
        for service in &reaped {
            self.remove_service(service);
        }
        let next = self.checks.values().flat_map(|check| [check.ttl_ends, check.reap_at()]).flatten().min();
        Ticked { reaped: reaped.into_iter().collect(), next }
    }

    fn due(
        &self,
        now: Instant,
        when: impl Fn(&LocalCheck) -> Option<Instant>,
    ) -> impl Iterator<Item = (&Key, &LocalCheck)> {
        self.checks.iter().filter(move |(_, check)| when(check).is_some_and(|when| when <= now))
    }

    /// When the next output that changed alone is to be written.
    pub(super) fn next_output_due(&self, now: Instant) -> Option<Instant> {
        self.checks.values().filter_map(|check| check.output_due).filter(|due| *due > now).min()
    }

    /// Makes what came from files be exactly these; on an error nothing is changed.
    pub(super) fn replace_files(
        &mut self,
        services: &[ServiceDefinition],
        checks: &[CheckRegistration],
        now: Instant,
    ) -> Result<(), AgentError> {
        let service_keys: BTreeSet<Key> = services.iter().map(|definition| definition.service.id.key()).collect();
        let stays = |key: &Key| {
            service_keys.contains(key) || self.services.get(key).is_some_and(|old| old.origin != Origin::File)
        };
        if let Some(check) = checks.iter().find(|c| !c.service_id.is_empty() && !stays(&c.service_id.key())) {
            return Err(AgentError::UnknownService(check.service_id.clone()).of(check));
        }
        let nested = services.iter().flat_map(|definition| &definition.checks);
        let check_keys: BTreeSet<Key> = nested.chain(checks).map(|check| check.id.key()).collect();
        self.refuse_too_many(service_keys.len(), check_keys.len())?;

        let gone = self.services.values().filter(|s| s.origin == Origin::File && !service_keys.contains(&s.id.key()));
        let gone: Vec<ServiceId> = gone.map(|service| service.id.clone()).collect();
        for id in gone {
            self.remove_service(&id);
        }
        let gone =
            self.checks.iter().filter(|(id, check)| check.row.origin == Origin::File && !check_keys.contains(*id));
        let gone: Vec<Key> = gone.map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|check| _ = self.take_out(check));
        for definition in services {
            self.put_service(definition, Origin::File, false, now)?;
        }
        for registration in checks {
            self.insert_check(registration, Origin::File, true, now);
        }
        Ok(())
    }

    /// Takes up what an earlier life of this agent had registered, as the registry has it. What was registered since
    /// wins.
    pub(super) fn adopt(&mut self, state: &State, now: Instant) {
        self.adopted = true;
        self.confirm_provisional(state);
        self.take_up(state, now);
        self.forgotten.clear();
    }

    /// Takes up what an earlier life of this agent had registered as far as this node knows; [`Local::adopt`] decides.
    pub(super) fn adopt_last_known(&mut self, state: &State, now: Instant) {
        let had = |local: &Self| {
            let services = local.services.keys().map(|service| (service.clone(), Key::default()));
            let checks = local.checks.keys().map(|check| (Key::default(), check.clone()));
            services.chain(checks).collect::<BTreeSet<_>>()
        };
        let before = had(self);
        self.take_up(state, now);
        self.provisional = had(self).difference(&before).cloned().collect();
    }

    fn take_up(&mut self, state: &State, now: Instant) {
        let node = self.node.name.clone();
        for service in state.node_services(&node) {
            let key = service.id.key();
            let ours = service.origin == Origin::Agent && !self.forgotten.contains(&(key.clone(), Key::default()));
            if ours && !self.services.contains_key(&key) {
                self.services.insert(key, service.clone());
            }
        }
        for check in state.node_checks(&node) {
            let key = check.id.key();
            if let Some(local) = self.checks.get_mut(&key) {
                let same = local.row.runs == check.runs && group_of(&local.row) == group_of(check);
                if same && !local.known {
                    local.set(check.status, check.output.clone(), now);
                    local.known = self.adopted;
                }
                continue;
            }
            let about = check.service_id.key();
            let bound = check.service_id.is_empty() || self.services.contains_key(&about);
            let ours = check.origin == Origin::Agent && &*check.id != SERF_HEALTH;
            if ours && bound && !self.forgotten.contains(&(Key::default(), key)) {
                self.adopt_check(check, now);
            }
        }
    }

    /// What was taken up from a state that may be out of date becomes what the registry has, or goes.
    fn confirm_provisional(&mut self, state: &State) {
        let node = self.node.name.clone();
        for (service, check) in std::mem::take(&mut self.provisional) {
            if check.as_str().is_empty() {
                if !self.services.contains_key(&service) {
                    continue;
                }
                match state.node_service(&node, service.as_str()).filter(|found| found.origin == Origin::Agent) {
                    Some(found) => _ = self.services.insert(service, found.clone()),
                    None => {
                        self.services.remove(&service);
                        self.remove_checks_of(&service, |_| true);
                    }
                }
                continue;
            }
            let Some(local) = self.checks.get_mut(&check) else { continue };
            let found = state.node_check(&node, check.as_str()).filter(|found| {
                found.origin == Origin::Agent && found.runs == local.row.runs && group_of(found) == group_of(&local.row)
            });
            match found {
                Some(found) => {
                    let (status, output) = (local.row.status, local.row.output.clone());
                    local.row = Arc::new(Check { status, output, ..Check::clone(found) });
                }
                None => _ = self.take_out(&check),
            }
        }
    }

    fn adopt_check(&mut self, check: &Check, now: Instant) {
        let mut row = check.clone();
        let runs = row.runs.as_deref().map(|runs| check::kind(runs, Origin::Agent, self.script_checks));
        let kind = match runs {
            None => None,
            Some(Ok(kind)) => Some(kind),
            Some(Err(_)) => {
                tracing::warn!(check = %row.id, kind = %row.kind, "a check of this kind is not taken up from the registry");
                row.status = Status::Critical;
                row.output = format!("{} checks are not run from the registry: register it again", row.kind).into();
                return self.start(row, None, true, now);
            }
        };
        // A status that may be out of date gives way to the registry's.
        self.start(row, kind, self.adopted, now);
    }
}
