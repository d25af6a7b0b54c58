//! Files and flags, one immutable configuration.
