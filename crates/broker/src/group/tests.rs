//! Tests of the machine: a script of requests under a given clock.
