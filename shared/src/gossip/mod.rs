//! Membership over foca.
