//! The Outrigger command line.
