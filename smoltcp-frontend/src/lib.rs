//! Anywire over smoltcp.
#![no_std]
