//! What was acknowledged is there at the end, and was made by the entry that the acknowledgement named.
//!
//! For this clients register nodes of names of their own, that nobody touches again.

use lictor_shared::{catalog::State, model::Index};

/// See the module.
#[derive(Default)]
pub(crate) struct Lost {
    acknowledged: Vec<(String, Index)>,
}

impl Lost {
    /// The registration of that node was acknowledged with that index.
    pub fn acknowledged(&mut self, node: String, index: Index) {
        self.acknowledged.push((node, index));
    }

    /// How many were acknowledged.
    pub fn count(&self) -> usize {
        self.acknowledged.len()
    }

    /// Whether all of them are in a server's last state.
    pub fn check(&self, server: usize, state: &State) -> Result<(), String> {
        for (name, index) in &self.acknowledged {
            match state.node(name) {
                Some(node) if node.create_index == *index => {}
                Some(node) => {
                    let found = node.create_index;
                    return Err(format!(
                        "server {server} has {name} from index {found}, it was acknowledged at {index}"
                    ));
                }
                None => return Err(format!("server {server} has lost {name}, acknowledged at index {index}")),
            }
        }
        Ok(())
    }
}
