//! Framings and services as sans-IO state machines.
#![no_std]
#![forbid(unsafe_code)]
