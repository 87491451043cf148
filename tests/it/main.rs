//! Every integration test, in one binary: modules by area.
