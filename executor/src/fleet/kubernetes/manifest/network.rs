//! What masters and workers may call.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::check::port_of;
use super::yaml::{document, joined};
use super::{Manifest, ManifestError};

pub(super) fn text(manifest: &Manifest) -> Result<String, ManifestError> {
    let of_all = [
        "Nobody calls masters or workers. They call DNS, the clouds by TLS, and the metadata server of the node that gives",
        "them their identity. Policies add up: what your tasks need more goes into one of its own.",
    ];
    let of_master = [
        "The master calls the API server besides. A policy sees the server's own port, behind that of its Service.",
    ];
    let all = NetworkPolicy {
        metadata: manifest.meta(&manifest.name, "network"),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: None,
            egress: Some(egress(manifest)?),
        }),
    };
    let master = BTreeMap::from([
        (
            "app.kubernetes.io/component".to_owned(),
            "master".to_owned(),
        ),
        ("app.kubernetes.io/name".to_owned(), manifest.name.clone()),
    ]);
    let api = NetworkPolicy {
        metadata: manifest.meta(&format!("{}-master", manifest.name), "network"),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(master),
                match_expressions: None,
            }),
            policy_types: Some(vec!["Egress".to_owned()]),
            ingress: None,
            egress: Some(vec![to_ports(&[("TCP", 6443)])]),
        }),
    };
    Ok(joined(&[
        document(&of_all, &all)?,
        document(&of_master, &api)?,
    ]))
}

fn egress(manifest: &Manifest) -> Result<Vec<NetworkPolicyEgressRule>, ManifestError> {
    let system = LabelSelector {
        match_labels: Some(BTreeMap::from([(
            "kubernetes.io/metadata.name".to_owned(),
            "kube-system".to_owned(),
        )])),
        match_expressions: None,
    };
    let dns = NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            namespace_selector: Some(system),
            ..NetworkPolicyPeer::default()
        }]),
        ..to_ports(&[("UDP", 53), ("TCP", 53)])
    };
    // GKE's metadata server, by both of its addresses.
    // <https://cloud.google.com/kubernetes-engine/docs/how-to/network-policy#network-policy-and-workload-identity>
    let metadata = [("169.254.169.254/32", 80), ("169.254.169.252/32", 988)];
    let metadata = metadata.map(|(cidr, port)| NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: cidr.to_owned(),
                except: None,
            }),
            ..NetworkPolicyPeer::default()
        }]),
        ..to_ports(&[("TCP", port)])
    });
    let mut rules = vec![dns, to_ports(&[("TCP", 443)])];
    rules.extend(metadata);
    // A policy selects no host by its name, so that the emulator's port is open to all.
    if let Some(address) = &manifest.emulator {
        rules.push(to_ports(&[("TCP", port_of(address)?)]));
    }
    Ok(rules)
}

fn to_ports(ports: &[(&str, u16)]) -> NetworkPolicyEgressRule {
    let port = |(protocol, port): &(&str, u16)| NetworkPolicyPort {
        end_port: None,
        port: Some(IntOrString::Int(i32::from(*port))),
        protocol: Some((*protocol).to_owned()),
    };
    NetworkPolicyEgressRule {
        ports: Some(ports.iter().map(port).collect()),
        to: None,
    }
}
