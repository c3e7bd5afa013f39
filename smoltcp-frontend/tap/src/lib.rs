//! The TAP device and the command line over it.
