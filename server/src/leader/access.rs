//! The leader's duty about access control: what must be there from the first day is put there, and tokens whose time is
//! over are taken out. They count no longer already: every node looks at the time itself.

use lictor_shared::{
    catalog::{AccessRow, State},
    command::{AccessCommand, Command},
    config::Acl,
    model::{ANONYMOUS, Index, MANAGEMENT_POLICY, Secret, Time},
};
use uuid::Uuid;

/// The most tokens that are taken out by one command.
const EXPIRED_AT_ONCE: usize = 256;

/// The commands that do so; none where access control is off.
pub fn commands(state: &State, acl: &Acl, now: Time) -> Vec<Command> {
    if !acl.settings.enabled {
        return Vec::new();
    }
    initialise(state, acl).into_iter().chain(expire(state, now)).map(Command::Access).collect()
}

fn initialise(state: &State, acl: &Acl) -> Option<AccessCommand> {
    // Tokens that count everywhere are the primary datacenter's.
    let management = &acl.initial_management;
    let management =
        (!management.is_none() && !acl.settings.has_other_primary()).then(|| Secret::new(management.expose()));
    let is_there = |secret: &Secret| state.access_token_by_secret(secret.digest()).is_some();
    let complete = state.access_policy(MANAGEMENT_POLICY).is_some()
        && state.access_token(ANONYMOUS).is_some()
        && state.servers_secret().is_some()
        && (management.is_none() || state.access_bootstrapped() > Index(0));
    // One that an operator has deleted stays away.
    let management = management.filter(|secret| !is_there(secret) && state.access_bootstrapped() == Index(0));
    let servers = Secret::new(format!("{}{}", Uuid::new_v4(), Uuid::new_v4()));
    (!complete).then(|| AccessCommand::Initialise { management, accessor: Uuid::new_v4(), servers })
}

fn expire(state: &State, now: Time) -> Option<AccessCommand> {
    let expired = state.access_tokens().filter(|token| !token.is_valid_at(now));
    let gone: Vec<AccessRow> =
        expired.take(EXPIRED_AT_ONCE).map(|token| AccessRow::TokenGone(token.accessor)).collect();
    (!gone.is_empty()).then_some(AccessCommand::Remove(gone))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lictor_shared::{
        acl::{Credential, Settings},
        command::{Named, Presence},
        model::{AccessToken, Grants},
    };

    use super::*;

    const SECRET: &str = "00000000-aaaa-bbbb-cccc-000000000001";

    fn acl(management: &str) -> Acl {
        let settings = Settings { enabled: true, ..Settings::default() };
        Acl { settings, initial_management: Credential::new(management), ..Acl::default() }
    }

    fn apply(state: &mut State, commands: Vec<Command>) {
        for command in commands {
            let index = Index(state.index().0 + 1);
            state.apply(index, Time(1), &command);
        }
    }

    #[test]
    fn what_must_be_there_is_put_there_once() {
        let mut state = State::default();
        assert!(commands(&state, &Acl::default(), Time(1)).is_empty());
        let first = commands(&state, &acl(""), Time(1));
        apply(&mut state, first);
        assert!(commands(&state, &acl(""), Time(1)).is_empty());
        assert_eq!((state.access_tokens().count(), state.access_bootstrapped()), (1, Index(0)));
        let first = commands(&state, &acl(SECRET), Time(1));
        apply(&mut state, first);
        let token = state.access_token_by_secret(Secret::new(SECRET).digest()).unwrap().accessor;
        assert!(commands(&state, &acl(SECRET), Time(1)).is_empty());
        // An operator may take it away for good.
        apply(&mut state, vec![Command::Access(AccessCommand::Remove(vec![AccessRow::TokenGone(token)]))]);
        assert!(commands(&state, &acl(SECRET), Time(1)).is_empty());
    }

    #[test]
    fn tokens_go_when_their_time_is_over() {
        let mut state = State::default();
        let first = commands(&state, &acl(""), Time(1));
        apply(&mut state, first);
        let token = AccessToken {
            accessor: Uuid::from_u128(7),
            secret: Secret::new(SECRET),
            description: "short".into(),
            grants: Grants::default(),
            is_local: false,
            auth_method: "".into(),
            expires: Some(Time(100)),
            created: Time(0),
            create_index: Index(0),
            modify_index: Index(0),
        };
        let row = AccessRow::Token(Arc::new(token));
        let put = AccessCommand::Put { row, named: Named::default(), presence: Presence::Absent };
        apply(&mut state, vec![Command::Access(put)]);
        assert!(commands(&state, &acl(""), Time(99)).is_empty());
        let gone = commands(&state, &acl(""), Time(100));
        assert_eq!(gone, [Command::Access(AccessCommand::Remove(vec![AccessRow::TokenGone(Uuid::from_u128(7))]))]);
    }
}
