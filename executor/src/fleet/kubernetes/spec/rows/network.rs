//! Ports, and names of addresses.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ContainerPort, HostAlias};

use super::super::given::{fill_map, names as host_names, number};
use super::super::names;
use super::super::row::{Check, Row, Wrong, map};

pub(super) const ROWS: [Row; 2] = [
    Row::new("port", "PODPOOL_PORTS", "ports", |spec, given| {
        fill_map(&mut spec.ports, given, number)
    })
    .at("/spec/containers/worker/ports")
    .check(|spec| {
        let mut ports = spec.ports.iter();
        ports.try_for_each(|(name, number)| check_port(name, *number))
    })
    .shown(|spec| map(&spec.ports, u16::to_string))
    .write(|spec, draft| {
        for (name, number) in &spec.ports {
            let port = ContainerPort {
                name: Some(name.clone()),
                container_port: i32::from(*number),
                protocol: Some("TCP".to_owned()),
                ..ContainerPort::default()
            };
            draft.worker.ports.get_or_insert_default().push(port);
        }
    }),
    Row::new(
        "host_alias",
        "PODPOOL_HOST_ALIASES",
        "host_aliases",
        |spec, given| fill_map(&mut spec.host_aliases, given, host_names),
    )
    .at("/spec/hostAliases")
    .check(|spec| {
        spec.host_aliases.iter().try_for_each(|(address, all)| {
            if address.parse::<IpAddr>().is_err() {
                return Err(Wrong::new(address, "use an IP address"));
            }
            if all.is_empty() {
                return Err(Wrong::new(address, "it needs a name"));
            }
            names::objects(all)
        })
    })
    .shown(|spec| map(&spec.host_aliases, |names| names.join(" ")))
    .write(|spec, draft| {
        for (address, all) in &spec.host_aliases {
            let alias = HostAlias {
                ip: address.clone(),
                hostnames: Some(all.clone()),
            };
            draft.spec.host_aliases.get_or_insert_default().push(alias);
        }
    }),
];

/// <https://kubernetes.io/docs/concepts/services-networking/service/#field-spec-ports>
// `IANA_SVC_NAME`: 15 lower-case letters, digits and '-', with a letter among them, and no two '-' in a row.
fn check_port(name: &str, number: u16) -> Check {
    let sound = name.len() <= 15
        && names::is_object(name, 63)
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && !name.contains("--");
    if !sound {
        let reason = "a port's name has at most 15 lower-case letters, digits and '-', and a letter among them";
        return Err(Wrong::new(name, reason));
    }
    if number == 0 {
        return Err(Wrong::new(number, "use 1 to 65535"));
    }
    Ok(())
}
