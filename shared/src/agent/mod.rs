//! This host's services and checks.
