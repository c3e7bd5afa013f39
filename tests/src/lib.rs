//! Scenarios written once, run over every transport.
