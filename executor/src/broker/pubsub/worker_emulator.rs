//! Where pods find the emulator that the master uses. Variables are looked up by the caller.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use podpool_core::broker::BrokerError;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::settings::EMULATOR;

/// The option, as an error names it, and its variable.
const OPTION: &str = "PubSubOptions::worker_emulator_host";
const VARIABLE: &str = "PODPOOL_WORKER_EMULATOR_HOST";

/// Longest time of looking up a name.
const LOOKUP: Duration = Duration::from_secs(2);

/// The emulator's address, as pods receive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WorkerEmulator {
    /// Its address.
    pub(super) host: String,
    /// The address is the master's own, and no setting states that pods find the emulator there.
    own: bool,
}

/// The emulator's address for pods: the option's, else the variable's, else the master's own. None where the master
/// uses no emulator, or the workers' environment has an address already.
pub(super) fn for_workers(
    option: Option<&str>,
    worker_env: &[(String, String)],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<WorkerEmulator>, BrokerError> {
    if worker_env.iter().any(|(name, _)| name == EMULATOR) {
        return Ok(None);
    }
    let read = |name: &str| {
        let value = variable(name)?.trim().to_owned();
        Some(value).filter(|value| !value.is_empty())
    };
    let own = read(EMULATOR);
    let given = option
        .map(|host| (OPTION, host.to_owned()))
        .or_else(|| Some((VARIABLE, read(VARIABLE)?)));
    match (given, own) {
        (None, None) => Ok(None),
        (Some((name, host)), None) => {
            let reason = format!(
                "this program uses no emulator, so its workers would not meet it there; set {EMULATOR} to where this program finds the emulator, or leave {name} out"
            );
            Err(setting(name, host, reason))
        }
        (Some((name, host)), Some(_)) if host.trim().is_empty() || means_itself(&host) => {
            let reason = "use host:port as pods reach it; this means the pod itself";
            Err(setting(name, host, reason))
        }
        (Some((name, host)), Some(_)) if !has_port(&host) => {
            Err(setting(name, host, "the port is missing; use host:port"))
        }
        (None, Some(own)) if means_itself(&own) => Err(needed(own)),
        (Some((_, host)), Some(_)) => Ok(Some(WorkerEmulator {
            host: host.trim().to_owned(),
            own: false,
        })),
        (None, own) => Ok(own.map(|host| WorkerEmulator { host, own: true })),
    }
}

/// The error where the master's own address is of no use to pods.
fn needed(own: String) -> BrokerError {
    let reason = format!(
        "in a pod this address means the pod itself; set where pods find the emulator, as host:port, with {OPTION} or {VARIABLE}"
    );
    setting(EMULATOR, own, reason)
}

fn setting(
    name: impl Into<String>,
    value: impl Into<String>,
    reason: impl Into<String>,
) -> BrokerError {
    BrokerError::Setting {
        name: name.into(),
        value: value.into(),
        reason: reason.into(),
    }
}

impl WorkerEmulator {
    /// Refuses the master's own address where its name means this machine alone, by `/etc/hosts` for one. A name that
    /// is not found is left to the connection.
    pub(super) async fn check(&self) -> Result<(), BrokerError> {
        let authority = authority(&self.host);
        if !self.own || authority.parse::<SocketAddr>().is_ok() {
            return Ok(());
        }
        // The resolver needs some port; only the addresses of the answer count.
        let port = if authority.contains(':') { "" } else { ":0" };
        let found = timeout(LOOKUP, lookup_host(format!("{authority}{port}"))).await;
        let addresses: Vec<SocketAddr> = found.into_iter().flatten().flatten().collect();
        // All of them, and at least one: a name with a far address besides may be reached from pods. A failed or late
        // lookup is no reason to refuse, for pods have another resolver.
        let here = |address: &SocketAddr| is_here(address.ip());
        if !addresses.is_empty() && addresses.iter().all(here) {
            return Err(needed(self.host.clone()));
        }
        Ok(())
    }
}

/// Host and port of an address that may have a scheme and a path.
fn authority(address: &str) -> &str {
    let address = address.trim();
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    address.split('/').next().unwrap_or_default()
}

/// Whether an address ends with a port.
fn has_port(address: &str) -> bool {
    let port = authority(address).rsplit_once(':');
    port.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// Whether an address means whichever machine uses it.
fn is_here(ip: IpAddr) -> bool {
    // `::ffff:127.0.0.1` is the loopback address too, as IPv6 writes it.
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

/// Whether an address, with or without scheme and port, means whichever machine uses it.
fn means_itself(address: &str) -> bool {
    let address = authority(address);
    let ip = address
        .parse::<SocketAddr>()
        .map(|address| address.ip())
        .or_else(|_| address.trim_matches(['[', ']']).parse::<IpAddr>());
    if let Ok(ip) = ip {
        return is_here(ip);
    }
    let host = address.split(':').next().unwrap_or_default();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host.is_empty() || host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests;
