//! No two servers lead at once, and who leads was voted for by a majority that has not forgotten it.
//!
//! "Leads" is what the rest of a server takes it for: a leader that a majority has confirmed within its lease. (openraft
//! orders leaders by term and then by ID, so that a second one may win a term. It takes the place of the first as a leader of
//! a later term would; so what is checked is not the term but the moment.) In the simulation all clocks run alike, and so
//! the leases must hold.
//!
//! A vote counts only once it is on the disk. When a server begins to lead, each disk is asked what it would remember
//! if the power went now: a majority must remember this leader, or a later one.

use crate::raft::Vote;

/// See the module.
pub(crate) struct Leaders {
    /// The term that each server was last seen to lead.
    leading: Vec<Option<u64>>,
}

impl Leaders {
    pub fn new(servers: usize) -> Self {
        Self { leading: vec![None; servers] }
    }

    /// A server leads that term, or none. True if that has just begun.
    pub fn seen(&mut self, server: usize, term: Option<u64>) -> Result<bool, String> {
        let before = std::mem::replace(&mut self.leading[server], term);
        let other = self.leading.iter().enumerate().find(|(other, leads)| *other != server && leads.is_some());
        match (term, other) {
            (Some(term), Some((other, Some(its)))) => {
                Err(format!("servers {server} (term {term}) and {other} (term {its}) lead at once"))
            }
            _ => Ok(term.is_some() && term != before),
        }
    }

    /// The server that leads.
    pub fn leader(&self) -> Option<usize> {
        self.leading.iter().position(Option::is_some)
    }

    /// What the disks remember, now that a server leads a term.
    pub fn remembered(server: usize, leader: &Vote, votes: &[Option<Vote>]) -> Result<(), String> {
        let of = |vote: &Vote| (vote.leader_id.term, vote.leader_id.node_id);
        let remember = votes.iter().flatten().filter(|vote| of(vote) >= of(leader)).count();
        if remember > votes.len() / 2 {
            return Ok(());
        }
        Err(format!("server {server} leads, and only {remember} of {} disks remember the vote", votes.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leaders_and_forgotten_votes_are_found() {
        let mut leaders = Leaders::new(3);
        assert_eq!(leaders.seen(0, Some(1)), Ok(true));
        assert_eq!(leaders.seen(0, Some(1)), Ok(false));
        assert_eq!(leaders.seen(1, None), Ok(false));
        assert!(leaders.seen(1, Some(2)).unwrap_err().contains("at once"));
        let vote = |term| Some(Vote::new(term, 7));
        Leaders::remembered(0, &Vote::new(3, 7), &[vote(3), vote(4), None]).unwrap();
        assert!(Leaders::remembered(0, &Vote::new(3, 7), &[vote(3), vote(2), None]).is_err());
    }
}
