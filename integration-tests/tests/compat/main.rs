//! Real neighbours on each protocol: Docker's CLI and daemon, `ctr`, a stock containerd.

mod containerd;
mod containerd_life;
mod ctr;
mod ctr_commands;
mod docker_cli;
mod docker_runtime;
mod dockerd;
mod podman;
mod refusals;
mod stock_shim;
