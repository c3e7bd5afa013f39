//! Anywire over the system's sockets.
