//! Taking up where a daemon ended, however it ended: records against the kernel, the kernel against records.

use std::collections::HashSet;
use std::sync::PoisonError;

use super::definition::Driver;
use super::error::NetworkError;
use super::netlink::{Family, Socket};
use super::publish::{self, Held};
use super::record::SandboxRecord;
use super::{Inner, bridge, link, namespace};

impl Inner {
    /// Releases the sandboxes of containers that do not run, takes up the others, and removes what no record names.
    pub(super) fn recover(&self, running: &HashSet<String>) -> Result<(), NetworkError> {
        let records: Vec<SandboxRecord> = self.state().sandboxes.values().cloned().collect();
        for record in &records {
            let alive = running.contains(&record.container)
                && record.netns.as_ref().is_none_or(|path| namespace::is_pinned(path));
            if alive {
                self.take_up(record)?;
            } else if let Err(error) = self.release(&record.container) {
                let error = dhow_proto::error::chain(&error);
                tracing::warn!(
                    container = record.container,
                    error,
                    "cannot release the network of a container that ended"
                );
            }
        }
        self.sweep_namespaces();
        self.sweep_links()
    }

    fn take_up(&self, record: &SandboxRecord) -> Result<(), NetworkError> {
        for endpoint in record.endpoints.iter().filter(|endpoint| !endpoint.host_interface.is_empty()) {
            let network = self.state().by_id(&endpoint.network)?.clone();
            self.activate(&network)?;
        }
        let mut held = Vec::new();
        for port in &record.ports {
            match publish::hold(port) {
                Ok(socket) => held.push(Held { record: *port, socket }),
                // The firewall's way is there; only the guard against others is not.
                Err(error) => {
                    tracing::warn!(port = %port.host, %error, "a published port cannot be held again")
                }
            }
        }
        self.serve_ports(&record.container, held);
        self.resolver_for(record);
        Ok(())
    }

    /// Unpins every namespace that no record names.
    fn sweep_namespaces(&self) {
        let known: HashSet<_> =
            self.state().sandboxes.values().filter_map(|record| record.netns.clone()).collect();
        let folder = self.settings.state.join("netns");
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if !known.contains(&path)
                && let Err(error) = namespace::unpin(&path)
            {
                let error = dhow_proto::error::chain(&error);
                tracing::warn!(path = %path.display(), error, "cannot remove a network namespace that nobody uses");
            }
        }
    }

    /// Removes every port of our bridges that no record names.
    fn sweep_links(&self) -> Result<(), NetworkError> {
        let (known, bridges) = {
            let state = self.state();
            let endpoints = state.sandboxes.values().flat_map(|record| &record.endpoints);
            let known: HashSet<String> = endpoints.map(|endpoint| endpoint.host_interface.clone()).collect();
            let bridges = state.networks.iter().filter(|network| network.driver == Driver::Bridge);
            (known, bridges.map(|network| network.bridge.clone()).collect::<HashSet<String>>())
        };
        let socket = Socket::open(Family::Route)?;
        let links = link::list(&socket)?;
        let ours: HashSet<u32> =
            links.iter().filter(|link| bridges.contains(&link.name)).map(|link| link.index).collect();
        let stray = links.iter().filter(|link| {
            link.kind.as_deref() == Some("veth")
                && link.master.is_some_and(|master| ours.contains(&master))
                && !known.contains(&link.name)
        });
        super::sandbox::remove_links(stray.map(|link| link.name.as_str()))
    }

    /// With no sandbox left, removes bridges and rules: a stopped daemon without containers leaves a clean host.
    pub(super) fn close(&self) -> Result<(), NetworkError> {
        super::sandbox::remove_links(self.pool.close().iter().map(String::as_str))?;
        let bridges: Vec<String> = {
            let mut state = self.state();
            while !state.leaving.is_empty() {
                state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if !state.sandboxes.is_empty() {
                return Ok(());
            }
            let bridges = state.networks.iter().filter(|network| network.driver == Driver::Bridge);
            bridges.map(|network| network.bridge.clone()).collect()
        };
        for name in bridges {
            bridge::remove(&name)?;
        }
        self.active.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(self.firewall.remove()?)
    }
}
